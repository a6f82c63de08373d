"""The worker process: wake-ups by Celery, a heartbeat, metrics, and a clean shutdown.

Nothing in here may import torch. A run is a separate process, so its memory and its crashes do not affect the
worker.
"""

import contextlib
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from celery import signals  # type: ignore[import-untyped]
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning  # type: ignore[import-untyped]
from celery.worker import state as celery_state  # type: ignore[import-untyped]
from redis.exceptions import RedisError

from common.metrics import WorkerMetrics, serve_metrics
from common.redis import absent, client, not_durable
from common.settings import WorkerSettings
from trainer.jobs.claims import Claims
from trainer.jobs.limits import LEASE_SECONDS
from trainer.jobs.record import Resources
from trainer.jobs.wakeup import TASK, celery_app
from trainer.worker.gpus import offered
from trainer.worker.memory import memory_for_runs_mb
from trainer.worker.supervisor import Supervisor

_BEAT_SECONDS = 10.0
_RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


def run_worker(
    settings: WorkerSettings, commands: Mapping[str, Sequence[str]], lease_seconds: float = LEASE_SECONDS
) -> None:
    """Works until SIGTERM or SIGINT, then hands its job back, within 30 seconds.

    commands: the words after `python -m` that run a job of each kind.

    Raises SystemExit with one line if the metrics port is taken.
    """
    try:
        serve_metrics(settings.host, settings.metrics_port)
    except OSError:
        raise SystemExit(
            f"error: worker metrics cannot listen on {settings.host}:{settings.metrics_port}: it is in use "
            "or not this machine's address; stop what listens there, or set CGN_WORKER_METRICS_PORT (port) "
            "or CGN_HOST (address)"
        ) from None
    leave = threading.Event()

    def on_signal(signum: int, frame: FrameType | None) -> None:
        leave.set()
        celery_state.should_stop = os.EX_OK  # Celery stops when the present task has ended

    def take_signals(**_: Any) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, on_signal)

    take_signals()
    name = f"{socket.gethostname()}:{os.getpid()}"
    gpus = offered(settings.gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    offer = Resources(settings.threads, len(gpus))
    redis = client(settings.jobs_url)
    claims = Claims(redis, name, offer, lease_seconds)
    _wait_for_redis(claims, settings.jobs_url, leave)
    with contextlib.suppress(RedisError):
        if faults := not_durable(redis):
            log.warning("Redis may lose jobs", extra={"url": settings.jobs_url, "faults": faults})
    heart = threading.Thread(target=_beat, args=(claims, leave), name="heartbeat", daemon=True)
    heart.start()

    memory_mb = settings.memory_mb or memory_for_runs_mb()
    supervisor = Supervisor(claims, commands, settings.paths, WorkerMetrics(), leave, gpus, memory_mb)
    app = celery_app(settings.jobs_url)

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def wake() -> None:
        try:
            supervisor.run_pending()
        except RedisError as error:  # the service sends another wake-up when Redis is back
            log.warning("no job claimed", extra={"error": str(error)})

    def on_ready(**_: Any) -> None:
        take_signals()  # Celery has replaced the handlers; its second Ctrl-C would leave a run behind
        log.info(
            "ready",
            extra={"worker": name, "threads": settings.threads, "gpus": len(gpus), "memory_mb": memory_mb},
        )

    signals.setup_logging.connect(_leave_logging_alone)
    signals.worker_ready.connect(on_ready)
    logging.getLogger("celery").setLevel(logging.WARNING)
    # Celery warns of running as root, and of a setting for late acknowledgements.
    for warning in (SecurityWarning, CPendingDeprecationWarning):
        warnings.simplefilter("ignore", warning)
    if not leave.is_set():
        app.Worker(
            pool="threads",
            concurrency=1,
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        ).start()
    leave.set()
    with contextlib.suppress(RedisError):
        claims.withdraw()
    log.info("stopped")


def _wait_for_redis(claims: Claims, url: str, leave: threading.Event) -> None:
    logged = False
    while not leave.is_set():
        try:
            claims.announce()
        except RedisError as error:
            if not logged:
                log.error(absent(url, "CGN_JOBS_URL", error) + "; waiting for it")
            logged = True
            leave.wait(_RETRY_SECONDS)
        else:
            return


def _beat(claims: Claims, leave: threading.Event) -> None:
    """Sends heartbeats until the worker is to stop. Ignores an unreachable Redis."""
    while not leave.wait(_BEAT_SECONDS):
        with contextlib.suppress(RedisError):
            claims.announce()


def _leave_logging_alone(**_: Any) -> None:
    """Handles the signal setup_logging. Celery configures logging itself if no handler is connected."""
