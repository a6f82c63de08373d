"""Maintains the jobs in the background.

Takes jobs back from lost workers, wakes idle workers, stops jobs that have used up their time limit, and
removes the files of deleted jobs.
"""

import asyncio
import logging

from celery import Celery  # type: ignore[import-untyped]
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from common.redis import absent
from common.settings import TrainerSettings
from services.grpc_server import Readiness
from services.trainer import artefacts
from services.trainer.exporter import Exporter
from trainer.jobs.queue import JobQueue
from trainer.jobs.states import JobState
from trainer.jobs.wakeup import QUEUE, wake

_SECONDS_BETWEEN = 2.0

log = logging.getLogger(__name__)


class Sweeper:
    """Maintains the queue and its metrics as long as the service runs."""

    def __init__(
        self,
        redis: Redis,
        celery: Celery,
        exporter: Exporter,
        settings: TrainerSettings,
    ) -> None:
        self._redis = redis
        self._queue = JobQueue(redis)
        self._celery = celery
        self._exporter = exporter
        self._jobs_url = settings.jobs_url
        self._paths = settings.paths
        self._undeletable: set[str] = set()

    async def run(self, readiness: Readiness) -> None:
        """Sweeps until it is cancelled. The server is ready while Redis can be reached."""
        logged = False
        while True:
            try:
                await self.sweep()
            except (RedisError, OperationalError) as error:
                self._exporter.show_unknown()
                await readiness.set(False)
                if not logged:
                    log.error(absent(self._jobs_url, "CGN_JOBS_URL", error))
                logged = True
            else:
                await readiness.set(True)
                if logged:
                    log.info("Redis is back")
                logged = False
            await asyncio.sleep(_SECONDS_BETWEEN)

    async def sweep(self) -> None:
        """Sweeps once. Raises RedisError or OperationalError if Redis cannot be reached."""
        for lost in await self._queue.reclaim():
            log.warning(
                "worker lost",
                extra={"job_id": lost.job_id, "worker": lost.worker, "job_state": lost.state},
            )
        for job_id in await self._queue.stop_overtime():
            log.info("time limit is over", extra={"job_id": job_id})
        await self._queue.delete_expired()
        await self._delete_files()
        overview = await self._queue.overview()
        self._exporter.show(overview, len(await self._queue.workers()))
        pending = sum(n for (_, state), n in overview.counts.items() if state is JobState.PENDING)
        if pending and not await self._redis.llen(QUEUE):
            await asyncio.to_thread(wake, self._celery)

    async def _delete_files(self) -> None:
        for job_id in await self._queue.pending_deletion():
            try:
                await asyncio.to_thread(artefacts.remove, job_id, self._paths)
            except OSError as error:  # the next sweep tries again; logged once
                if job_id not in self._undeletable:
                    log.error("files cannot be removed", extra={"job_id": job_id, "error": str(error)})
                self._undeletable.add(job_id)
            else:
                await self._queue.mark_deleted(job_id)
                self._undeletable.discard(job_id)
