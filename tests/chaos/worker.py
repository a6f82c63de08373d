"""The worker of the chaos suite: `python -m tests.chaos.worker`, the real worker with short times.

Its leases are short. Celery delivers a message again that is not acknowledged for a second, so every job
takes longer than the visibility timeout.
"""

from typing import Any

from common import logs
from common.settings import WorkerSettings
from trainer.jobs.wakeup import celery_app
from trainer.kinds import COMMANDS
from trainer.worker import app

LEASE_SECONDS = 8.0
VISIBILITY_SECONDS = 1.0


def impatient_celery_app(url: str) -> Any:
    celery = celery_app(url)
    celery.conf.broker_transport_options |= {
        "visibility_timeout": VISIBILITY_SECONDS,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    }
    return celery


if __name__ == "__main__":
    logs.setup("worker")
    vars(app)["celery_app"] = impatient_celery_app
    app.run_worker(WorkerSettings.from_env(), COMMANDS, LEASE_SECONDS)
