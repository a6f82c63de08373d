"""A run of several processes: `python -m tests.runs.team`, with options and protocol of train_imagenet.

Each step they add up their ranks. Every process tells its pid first.
"""

import os
import sys
import time

import torch

from trainer.runs.command import Published, Stopped, Surroundings, run_command
from trainer.runs.imagenet_team import Team
from trainer.runs.train_imagenet_config import TrainImagenetConfig


def add_up(config: TrainImagenetConfig, surroundings: Surroundings) -> Published:
    team = Team(surroundings.device)
    # print() writes the end of a line apart from it, so that another process's could come between them.
    os.write(1, f"pid {os.getpid()} rank {team.rank} threads {torch.get_num_threads()}\n".encode())
    reporter, steps = surroundings.reporter, config.steps or 1
    if team.leads:
        reporter.begin(0, steps)
    for step in range(steps):
        time.sleep(0.05)
        total = torch.tensor(float(team.rank))
        team.sum([total])
        if team.leads:
            reporter.progress(step + 1, {"total": float(total)})
        if team.any(surroundings.stop.requested):
            raise Stopped
    team.leave()
    return Published()


if __name__ == "__main__":
    sys.exit(run_command(TrainImagenetConfig, add_up, "Adds up."))
