"""A run of several processes: `python -m tests.runs.team`, with options and protocol of train_imagenet.

In each step they add up their ranks. At first each process prints its pid.
"""

import os
import sys
import time

import torch

from trainer.imagenet.config import TrainImagenetConfig
from trainer.run.cli import run_command
from trainer.run.context import Published, RunContext, Stopped
from trainer.run.process_group import Team


def add_up(config: TrainImagenetConfig, context: RunContext) -> Published:
    team = Team(context.device)
    # print() writes the end of a line separately, so another process could write in between.
    os.write(1, f"pid {os.getpid()} rank {team.rank} threads {torch.get_num_threads()}\n".encode())
    reporter, steps = context.reporter, config.steps or 1
    if team.leads:
        reporter.begin(0, steps)
    for step in range(steps):
        time.sleep(0.05)
        total = torch.tensor(float(team.rank))
        team.sum([total])
        if team.leads:
            reporter.progress(step + 1, {"total": float(total)})
        if team.any(context.stop.requested):
            raise Stopped
    team.leave()
    return Published()


if __name__ == "__main__":
    sys.exit(run_command(TrainImagenetConfig, add_up, "Adds up."))
