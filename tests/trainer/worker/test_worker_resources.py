"""Resources of runs: memory, GPUs and processes; and how workers share the queue."""

import asyncio
import re

import pytest
from celery import Celery  # type: ignore[import-untyped]
from redis.asyncio import Redis

from testing.processes import alive, wait_for
from tests.worker_jobs import (
    StartWorker,
    ended,
    going,
    log_lines,
    log_so_far,
    submit,
    until,
)
from trainer.jobs.queue import JobQueue
from trainer.jobs.reasons import Reason
from trainer.jobs.record import JobSpec, Resources
from trainer.jobs.states import JobState
from trainer.jobs.wakeup import wake


async def test_a_run_that_uses_too_much_memory_fails_for_that_reason(
    queue: JobQueue, celery: Celery, start_worker: StartWorker
) -> None:
    start_worker(CGN_WORKER_MEMORY_MB="400")
    job = await ended(queue, await submit(queue, celery, "hungry", steps=10_000))
    assert (job.state, job.reason, job.attempt) == (JobState.FAILED, Reason.OUT_OF_MEMORY, 1)
    assert "more than the 400 MiB" in job.message


@pytest.mark.parametrize(("own", "waits"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
async def test_waiting_threads_of_a_run_sleep_by_default(
    queue: JobQueue,
    celery: Celery,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    own: dict[str, str],
    waits: str,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    start_worker(**own)
    job = await ended(queue, await submit(queue, celery, steps=1))
    assert f"waits {waits}" in await log_lines(queue, job.job_id)


async def test_workers_of_a_machine_never_share_a_gpu(
    queue: JobQueue, celery: Celery, redis: Redis, start_worker: StartWorker
) -> None:
    doomed = start_worker(CGN_WORKER_GPUS="2")
    first = await submit(queue, celery, gpus=1, steps=10_000, checkpoint_every=5)
    await going(queue, first)
    both = await submit(queue, celery, gpus=2, priority=1, steps=1)
    second = await submit(queue, celery, gpus=1, steps=10_000, checkpoint_every=5)
    start_worker(CGN_WORKER_GPUS="2")
    await going(queue, second)  # though the other one is older and of higher priority: it does not fit now
    lines = [line for job_id in (first, second) for line in await log_so_far(redis, job_id)]
    assert [line for line in lines if line.startswith("GPUs")] == ["GPUs 0", "GPUs 1"]
    doomed.kill()
    await queue.cancel(second)
    await asyncio.to_thread(wake, celery)
    job = await ended(queue, both)
    assert job.state is JobState.SUCCEEDED
    assert "GPUs 0,1" in await log_lines(queue, both)


async def test_two_workers_share_a_queue_by_priority_and_run_each_job_once(
    queue: JobQueue, celery: Celery, start_worker: StartWorker
) -> None:
    submitted = [
        await submit(queue, celery, priority=number % 3, steps=2, lr_generator=0.01) for number in range(20)
    ]
    for _ in range(2):
        start_worker()
    jobs = [await ended(queue, job_id) for job_id in submitted]
    assert {(job.state, job.attempt) for job in jobs} == {(JobState.SUCCEEDED, 1)}
    assert len({job.worker for job in jobs}) == 2
    for job in jobs:
        begun = [line for line in await log_lines(queue, job.job_id) if "begins" in line]
        assert len(begun) == 1, begun
    started = sorted(jobs, key=lambda job: job.start_time or 0.0)
    expected = sorted(jobs, key=lambda job: (-job.spec.priority, job.sequence))
    assert [job.job_id for job in started] == [job.job_id for job in expected]


async def submit_team(queue: JobQueue, celery: Celery, steps: int) -> str:
    spec = JobSpec("train_imagenet", {"processes": 2, "steps": steps}, Resources(2, 0))
    job = await queue.submit(spec)
    await asyncio.to_thread(wake, celery)
    return job.job_id


async def team_of(redis: Redis, job_id: str) -> dict[int, int]:
    """Returns the process ids by rank, once all processes have logged them."""
    while True:
        lines = await log_so_far(redis, job_id)
        matches = [re.fullmatch(r"pid (\d+) rank (\d+) threads 1", line) for line in lines]
        if len(pids := {int(match[2]): int(match[1]) for match in matches if match}) == 2:
            return pids
        await asyncio.sleep(0.1)


@pytest.mark.long
async def test_a_run_of_several_processes_ends_as_one(
    queue: JobQueue, celery: Celery, redis: Redis, start_worker: StartWorker
) -> None:
    worker = start_worker()
    job = await ended(queue, await submit_team(queue, celery, steps=3))
    assert job.state is JobState.SUCCEEDED, job.message
    assert job.progress and job.progress.values == {"total": 1.0}

    stopping = await submit_team(queue, celery, steps=100_000)
    await until(queue, stopping, lambda job: job.progress is not None)
    team = await team_of(redis, stopping)
    await queue.cancel(stopping)
    job = await ended(queue, stopping)
    assert (job.state, job.message) == (JobState.CANCELLED, "cancelled")
    assert not any(map(alive, team.values()))

    orphaned = await submit_team(queue, celery, steps=100_000)
    team = await team_of(redis, orphaned)
    worker.kill()
    wait_for("the run to die with its worker", lambda: not any(map(alive, team.values())))
