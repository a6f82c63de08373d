"""The worker of the tests: `python -m tests.runs.worker LEASE_SECONDS` counts where the real one trains.

It is the real worker in all but its table of which module runs which kind of job.
"""

import sys

from common import logs
from common.settings import WorkerSettings
from trainer.worker.app import run_worker

if __name__ == "__main__":
    logs.setup("worker")
    run_worker(WorkerSettings.from_env(), {"train_cgn": "tests.runs.count"}, float(sys.argv[1]))
