"""`python -m trainer.worker`: the worker, with all kinds of job."""

import sys

from common import logs
from common.settings import SettingsError, WorkerSettings
from trainer.jobs.kinds import MODULES
from trainer.worker.app import run_worker


def main() -> int:
    logs.setup("worker")
    try:
        settings = WorkerSettings.from_env()
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    run_worker(settings, MODULES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
