"""The worker as a separate process, with a real Redis and Celery. Its runs count instead of training."""

import asyncio
import re
import signal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from celery import Celery  # type: ignore[import-untyped]
from redis.asyncio import Redis

from testing.processes import ModuleProcess, alive, wait_for
from testing.redis_process import JOBS_FLAGS, LocalRedis
from tests.worker_jobs import (
    StartWorker,
    ended,
    going,
    log_lines,
    pids,
    submit,
    until,
)
from trainer.jobs.events import StateChange, decode
from trainer.jobs.queue import JobQueue
from trainer.jobs.reasons import Reason
from trainer.jobs.record import JobSpec, Resources
from trainer.jobs.states import JobState
from trainer.jobs.wakeup import QUEUE, wake
from trainer.run.directories import artefact_file, take_over


async def test_a_job_runs_to_its_published_model(
    queue: JobQueue, celery: Celery, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker()
    job_id = await submit(queue, celery, steps=20, checkpoint_every=10)
    job = await ended(queue, job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.message.startswith("stable stays")  # counting makes no card to judge by
    assert (job.model_name, job.model_version) == ("counted", f"job-{job_id}")
    assert (tmp_path / "models" / job.model_name / job.model_version / "card.json").exists()
    paths = [(artefact.kind, artefact.path) for artefact in job.artefacts]
    assert paths == [
        ("checkpoint", f"{job_id}/checkpoint-000010.txt"),
        ("checkpoint", f"{job_id}/checkpoint-000020.txt"),
        ("model", f"counted/job-{job_id}"),
        ("log", f"{job_id}/log.txt"),
    ]
    assert job.progress
    assert (job.progress.step, job.progress.total_steps, job.progress.mu_mask) == (20, 20, 0.25)
    line, waits, gpus = await log_lines(queue, job_id)
    assert "begins at step 0, threads 1" in line
    assert (waits, gpus) == ("waits passive", "GPUs ")
    log = artefact_file(tmp_path / "runs", f"{job_id}/log.txt")
    assert log and log.read_text() == f"{line}\n{waits}\n{gpus}\n"
    assert "torch" not in Path(f"/proc/{worker.process.pid}/maps").read_text()
    with urlopen(f"http://127.0.0.1:{worker.env['CGN_WORKER_METRICS_PORT']}/metrics") as page:
        metrics = page.read().decode()
    assert 'cgn_worker_jobs_total{kind="train_cgn",outcome="succeeded"} 1.0' in metrics
    assert "cgn_worker_busy 0.0" in metrics


async def test_a_failing_or_repeatedly_killed_run_has_a_reason_and_the_worker_continues(
    queue: JobQueue, celery: Celery, start_worker: StartWorker
) -> None:
    worker = start_worker()
    failing = await submit(queue, celery, "fail")
    crashing = await submit(queue, celery, "crash")
    good = await submit(queue, celery, steps=1)
    failed = await ended(queue, failing)
    assert (failed.message, failed.reason) == ("the digits are gone; bring them back", Reason.RUN_ERROR)
    crashed = await ended(queue, crashing)
    assert (crashed.state, crashed.reason, crashed.attempt) == (JobState.FAILED, Reason.KILLED, 3)
    assert "killed by SIGKILL" in crashed.message
    assert "memory" in crashed.message
    assert (await ended(queue, good)).state is JobState.SUCCEEDED
    assert worker.stop() == 0
    assert "SecurityWarning" not in worker.log()
    assert all(line.startswith("{") for line in worker.log().splitlines()), worker.log()


async def test_a_full_disk_or_an_unknown_kind_fails_the_job_and_the_worker_continues(
    queue: JobQueue, celery: Celery, start_worker: StartWorker, tmp_path: Path
) -> None:
    full = await submit(queue, celery, steps=10_000)
    unknown = await queue.submit(JobSpec("dance", {}, Resources(1, 0)))
    directory = take_over(tmp_path / "runs", full, 0)
    (directory / "config.json").symlink_to("/dev/full")
    worker = start_worker()
    good = await submit(queue, celery, steps=1)
    assert (await ended(queue, good)).state is JobState.SUCCEEDED
    stranger = await ended(queue, unknown.job_id)
    assert (stranger.state, stranger.reason) == (JobState.FAILED, Reason.WORKER_UNFIT)
    assert "knows no jobs of kind dance" in stranger.message
    failed = await ended(queue, full)
    assert (failed.state, failed.attempt, failed.reason) == (JobState.FAILED, 1, Reason.DISK_FULL)
    assert "No space left on device" in failed.message
    assert worker.stop() == 0


async def test_a_worker_gives_up_on_a_redis_that_refuses_the_end_of_a_job(
    queue: JobQueue, celery: Celery, redis: Redis, start_worker: StartWorker
) -> None:
    worker = start_worker()
    job_id = await submit(queue, celery, steps=40, checkpoint_every=10)
    await going(queue, job_id)
    await redis.set(f"cgn:job:{job_id}:events", "not a log")
    await asyncio.to_thread(worker.wait_for_log, '"outcome": "lost"')
    assert "WRONGTYPE" in worker.log()
    good = await submit(queue, celery, steps=1)
    assert (await ended(queue, good)).state is JobState.SUCCEEDED


async def test_cancelling_a_running_job_keeps_its_checkpoint_and_ends_all_its_processes(
    queue: JobQueue, celery: Celery, redis: Redis, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker()
    job_id = await submit(queue, celery, "parent", steps=10_000, checkpoint_every=5)
    await going(queue, job_id)
    (grandchild,) = await pids(queue, redis, job_id, "grandchild")
    await queue.cancel(job_id)
    job = await ended(queue, job_id)
    assert (job.state, job.message) == (JobState.CANCELLED, "cancelled")
    checkpoints = [artefact for artefact in job.artefacts if artefact.kind == "checkpoint"]
    checkpoint = artefact_file(tmp_path / "runs", checkpoints[-1].path)
    assert checkpoint and int(checkpoint.read_text()) >= 5
    (child,) = await pids(queue, redis, job_id)
    wait_for("the run's processes to end", lambda: not alive(child) and not alive(grandchild))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_that_stops_hands_its_job_back_and_the_next_worker_resumes_it(
    queue: JobQueue, celery: Celery, redis: Redis, start_worker: StartWorker, signum: int
) -> None:
    leaving = start_worker()
    job_id = await submit(queue, celery, steps=60, checkpoint_every=10)
    await going(queue, job_id)
    (child,) = await pids(queue, redis, job_id)
    assert await asyncio.to_thread(leaving.stop, signum) == 0
    assert not alive(child)
    job = await queue.get(job_id)
    assert (job.state, job.message) == (JobState.PENDING, "queued again: its worker was stopped")
    assert await queue.workers() == []
    start_worker()
    await asyncio.to_thread(wake, celery)
    job = await ended(queue, job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    begins = [re.findall(r"begins at step (\d+)", line) for line in await log_lines(queue, job_id)]
    first, second = [int(steps[0]) for steps in begins if steps]
    assert first == 0
    assert second >= 10


async def test_the_run_of_a_killed_worker_ends_and_its_job_is_resumed(
    queue: JobQueue, celery: Celery, redis: Redis, start_worker: StartWorker
) -> None:
    doomed = start_worker()
    job_id = await submit(queue, celery, "parent", steps=60, checkpoint_every=10)
    await going(queue, job_id)
    run = [*await pids(queue, redis, job_id), *await pids(queue, redis, job_id, "grandchild")]
    assert len(run) == 2
    doomed.kill()
    wait_for("the run to die with its worker", lambda: not any(map(alive, run)))
    start_worker()
    while not await queue.reclaim():
        await asyncio.sleep(0.1)
    await asyncio.to_thread(wake, celery)
    job = await ended(queue, job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)


async def test_a_worker_that_has_lost_its_lease_kills_its_run(
    queue: JobQueue, celery: Celery, redis: Redis, start_worker: StartWorker
) -> None:
    stalled = start_worker()
    job_id = await submit(queue, celery, steps=10_000, checkpoint_every=5)
    await going(queue, job_id)
    (child,) = await pids(queue, redis, job_id)
    stalled.process.send_signal(signal.SIGSTOP)  # the run itself goes on
    while not await queue.reclaim():
        await asyncio.sleep(0.1)
    assert alive(child)
    events = await redis.xlen(f"cgn:job:{job_id}:events")
    stalled.process.send_signal(signal.SIGCONT)
    wait_for("the run to be killed", lambda: not alive(child))
    wait_for("the worker to let go", lambda: '"outcome": "lost"' in stalled.log())
    # Free again, the worker claims what waits: this very job, as another attempt.
    await asyncio.to_thread(wake, celery)
    await until(queue, job_id, lambda job: job.attempt == 2)
    entries: Any = await redis.xrange(f"cgn:job:{job_id}:events")
    next_event = decode(**entries[events][1])
    assert next_event == StateChange(JobState.RUNNING, ""), (
        "a stalled worker wrote after it had lost its lease"
    )


async def test_a_run_continues_while_redis_is_away(
    queue: JobQueue, celery: Celery, start_worker: StartWorker, server: LocalRedis, tmp_path: Path
) -> None:
    worker = start_worker()
    job_id = await submit(queue, celery, steps=80, checkpoint_every=10)
    await going(queue, job_id)
    server.process.kill()
    await asyncio.to_thread(server.process.wait)
    await asyncio.to_thread(worker.wait_for_log, "Redis is away")
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    with await asyncio.to_thread(LocalRedis, port, tmp_path / "redis", JOBS_FLAGS):
        job = await ended(queue, job_id)
        assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
        steps = [int(a.path[-10:-4]) for a in job.artefacts if a.kind == "checkpoint"]
        assert steps == [10, 20, 30, 40, 50, 60, 70, 80]
        # And the worker can still be woken.
        assert (await ended(queue, await submit(queue, celery, steps=1))).state is JobState.SUCCEEDED
        assert await asyncio.to_thread(worker.stop) == 0


async def test_a_worker_waits_for_redis_at_its_start(
    start_worker: StartWorker, server: LocalRedis, tmp_path: Path
) -> None:
    server.stop()
    worker = start_worker()
    await asyncio.to_thread(worker.wait_for_log, "set CGN_JOBS_URL")
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    with await asyncio.to_thread(LocalRedis, port, tmp_path / "redis", JOBS_FLAGS):
        await asyncio.to_thread(worker.wait_for_log, '"message": "ready"')
    impatient = start_worker()
    await asyncio.to_thread(impatient.wait_for_log, "set CGN_JOBS_URL")
    assert await asyncio.to_thread(impatient.stop) == 0


async def test_a_busy_worker_leaves_wake_ups_to_idle_ones(
    queue: JobQueue, celery: Celery, redis: Redis, start_worker: StartWorker
) -> None:
    start_worker()
    long_one = await submit(queue, celery, steps=10_000)
    await until(queue, long_one, lambda job: job.state is JobState.RUNNING)
    waiting = await submit(queue, celery, steps=1)
    await asyncio.sleep(1)
    assert await redis.llen(QUEUE) == 1
    start_worker()
    assert (await ended(queue, waiting)).state is JobState.SUCCEEDED


@pytest.mark.long
async def test_a_run_that_does_not_stop_is_killed(
    queue: JobQueue, celery: Celery, redis: Redis, start_worker: StartWorker
) -> None:
    start_worker()
    job_id = await submit(queue, celery, "stubborn", steps=10_000)
    await until(queue, job_id, lambda job: job.progress is not None)
    (child,) = await pids(queue, redis, job_id)
    await queue.cancel(job_id)
    job = await ended(queue, job_id)
    assert job.state is JobState.CANCELLED
    assert job.message == "cancelled; it took longer than 20 s to stop and was killed"
    assert not alive(child)


def test_a_metrics_port_in_use_is_reported_in_one_line(start_worker: StartWorker, tmp_path: Path) -> None:
    first = start_worker()
    first.wait_for_log('"message": "ready"')
    second = ModuleProcess("trainer.worker", log=tmp_path / "second.log", env=first.env)
    assert second.process.wait(30) == 1
    (line,) = second.log().splitlines()
    assert "CGN_WORKER_METRICS_PORT" in line
