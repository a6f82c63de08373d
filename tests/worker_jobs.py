"""Jobs that count, and what is looked at while they do and once they have."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery  # type: ignore[import-untyped]
from redis.asyncio import Redis
from redis.exceptions import RedisError

from testing.processes import ModuleProcess
from testing.trainer_process import TrainerProcess
from trainer.jobs.events import LogLine, decode
from trainer.jobs.queue import JobQueue
from trainer.jobs.record import Job, JobSpec, Resources
from trainer.jobs.states import JobState
from trainer.jobs.wakeup import wake

LEASE_SECONDS = 3.0

StartWorker = Callable[..., ModuleProcess]  # its settings, on top of the test's


def worker_of(trainer: TrainerProcess, log: Path) -> ModuleProcess:
    """Starts a worker on a trainer's queue; its runs count instead of training (tests/runs)."""
    return ModuleProcess("tests.runs.worker", "10", log=log, env=trainer.worker_env)


async def submit(
    queue: JobQueue, celery: Celery, name: str = "counted", gpus: int = 0, priority: int = 0, **config: float
) -> str:
    config = {"lr_generator": 0.05, **config}
    spec = JobSpec("train_cgn", {"model_name": name, **config}, Resources(1, gpus), priority)
    job = await queue.submit(spec)
    await asyncio.to_thread(wake, celery)
    return job.job_id


async def until(queue: JobQueue, job_id: str, true: Callable[[Job], bool]) -> Job:
    """Waits for a job to be so; pytest's own time limit ends a wait that is in vain."""
    while True:
        try:
            job = await queue.get(job_id)
        except RedisError:  # away, in the tests that kill it
            job = None
        if job and true(job):
            return job
        await asyncio.sleep(0.05)


async def ended(queue: JobQueue, job_id: str) -> Job:
    return await until(queue, job_id, lambda job: job.state.ended)


async def going(queue: JobQueue, job_id: str) -> Job:
    """Waits until the job has written a checkpoint in this attempt."""
    return await until(queue, job_id, lambda job: job.state is JobState.RUNNING and bool(job.artefacts))


async def log_lines(queue: JobQueue, job_id: str) -> list[str]:
    return [event.body.line async for event in queue.events(job_id) if isinstance(event.body, LogLine)]


async def log_so_far(redis: Redis, job_id: str) -> list[str]:
    """The lines of a job that has not ended."""
    entries: Any = await redis.xrange(f"cgn:job:{job_id}:events")
    bodies = [decode(fields["kind"], fields["data"]) for _, fields in entries]
    return [body.line for body in bodies if isinstance(body, LogLine)]


async def pids(queue: JobQueue, redis: Redis, job_id: str, word: str = "pid") -> list[int]:
    """Returns the process ids that the run has logged, while it still runs."""
    entries: Any = await redis.xrange(f"cgn:job:{job_id}:events")
    matches = [re.search(rf'"{word} (\d+)', fields.get("data", "")) for _, fields in entries]
    return [int(match[1]) for match in matches if match]
