"""A run of several processes: `python -m tests.runs.all_reduce`, with options and protocol of train_imagenet.

Each step sums the ranks of all processes. Every process prints its pid first.
"""

import os
import sys
import time

import torch

from trainer.imagenet.config import TrainImagenetConfig
from trainer.run.cli import run_command
from trainer.run.context import Published, RunContext, Stopped
from trainer.run.process_group import ProcessGroup


def sum_ranks(config: TrainImagenetConfig, context: RunContext) -> Published:
    group = ProcessGroup(context.device)
    # print() writes the end of a line separately, so lines of two processes could mix.
    os.write(1, f"pid {os.getpid()} rank {group.rank} threads {torch.get_num_threads()}\n".encode())
    reporter, steps = context.reporter, config.steps or 1
    if group.is_main:
        reporter.begin(0, steps)
    for step in range(steps):
        time.sleep(0.05)
        total = torch.tensor(float(group.rank))
        group.all_reduce([total])
        if group.is_main:
            reporter.progress(step + 1, {"total": float(total)})
        if group.any(context.stop.requested):
            raise Stopped
    group.close()
    return Published()


if __name__ == "__main__":
    sys.exit(run_command(TrainImagenetConfig, sum_ranks, "Sums the ranks of all processes."))
