"""Looks after the jobs while nobody asks: takes them back from lost workers, wakes idle ones."""

import asyncio
import logging
import time

from celery import Celery  # type: ignore[import-untyped]
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from common.redis import absent
from services.grpc_server import Readiness
from services.trainer.exporter import Exporter
from trainer.jobs.queue import JobQueue
from trainer.jobs.states import JobState
from trainer.jobs.wakeup import QUEUE, wake

_SECONDS_BETWEEN = 2.0
_PATIENCE_SECONDS = 15.0

log = logging.getLogger(__name__)


class Sweeper:
    """Tends the queue and its metrics for as long as the service lives."""

    def __init__(
        self,
        redis: Redis,
        celery: Celery,
        exporter: Exporter,
        jobs_url: str,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        """patience_seconds: after Redis was away (or this service), workers have this long to renew leases
        that ran out meanwhile."""
        self._redis = redis
        self._queue = JobQueue(redis)
        self._celery = celery
        self._exporter = exporter
        self._jobs_url = jobs_url
        self._patience_seconds = patience_seconds
        self._reached_since: float | None = None

    async def run(self, readiness: Readiness) -> None:
        """Sweeps for ever; the server is ready while Redis is there."""
        told = False
        while True:
            try:
                await self.sweep()
            except (RedisError, OperationalError) as error:
                self._reached_since = None
                self._exporter.show_unknown()
                await readiness.set(False)
                if not told:
                    log.error(absent(self._jobs_url, "CGN_JOBS_URL", error))
                told = True
            else:
                await readiness.set(True)
                if told:
                    log.info("Redis is back")
                told = False
            await asyncio.sleep(_SECONDS_BETWEEN)

    async def sweep(self) -> None:
        """Once. Raises RedisError or OperationalError if Redis cannot be reached."""
        now = time.monotonic()
        if self._reached_since is None:
            await self._redis.ping()
            self._reached_since = now
        if now - self._reached_since >= self._patience_seconds:
            for lost in await self._queue.reclaim():
                log.warning(
                    "worker lost",
                    extra={"job_id": lost.job_id, "worker": lost.worker, "job_state": lost.state},
                )
        await self._queue.forget()
        overview = await self._queue.overview()
        self._exporter.show(overview, len(await self._queue.workers()))
        pending = sum(n for (_, state), n in overview.counts.items() if state is JobState.PENDING)
        if pending and not await self._redis.llen(QUEUE):
            await asyncio.to_thread(wake, self._celery)
