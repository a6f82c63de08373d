"""`python -m trainer.worker`: the worker for all kinds of job."""

import sys

from common import logs
from common.settings import SettingsError, WorkerSettings
from trainer.kinds import COMMANDS
from trainer.worker.app import run_worker


def main() -> int:
    logs.setup("worker")
    try:
        settings = WorkerSettings.from_env()
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    run_worker(settings, COMMANDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
