"""The worker of the tests: `python -m tests.runs.worker LEASE_SECONDS` counts and adds up where others train.

It is the real worker in all but its table of which module runs which kind of job.
"""

import sys

from common import logs
from common.settings import WorkerSettings
from trainer.worker.app import run_worker

COMMANDS = {"train_cgn": ("tests.runs.count",), "train_imagenet": ("tests.runs.team",)}

if __name__ == "__main__":
    logs.setup("worker")
    run_worker(WorkerSettings.from_env(), COMMANDS, float(sys.argv[1]))
