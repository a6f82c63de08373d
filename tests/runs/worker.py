"""The worker of the tests, `python -m tests.runs.worker LEASE_SECONDS`: its jobs count instead of training.

Only its table of modules by kind of job differs from the real worker.
"""

import sys

from common import logs
from common.settings import WorkerSettings
from trainer.worker.app import run_worker

COMMANDS = {"train_cgn": ("tests.runs.count",), "train_imagenet": ("tests.runs.all_reduce",)}

if __name__ == "__main__":
    logs.setup("worker")
    run_worker(WorkerSettings.from_env(), COMMANDS, float(sys.argv[1]))
