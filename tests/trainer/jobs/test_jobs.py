"""The job records in a real Redis: queue, leases, fencing, event log."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError

from common.redis import client
from testing.redis_process import LocalRedis
from trainer.jobs.claims import Claim, Claims, LeaseLost
from trainer.jobs.errors import RequestIdReused, UnknownJob
from trainer.jobs.events import Artefact, Body, Event, LogLine, Progress, StateChange
from trainer.jobs.limits import MAX_EVENTS, MAX_LOSSES
from trainer.jobs.outcome import Outcome
from trainer.jobs.queue import JobFilter, JobQueue
from trainer.jobs.reasons import Reason
from trainer.jobs.record import JobSpec, Resources
from trainer.jobs.states import TRANSITIONS, JobState
from trainer.worker.outbox import Outbox

REQUEST = "0b9d25b0-5a0c-4f8e-9f3d-0c9c1f6c1d55"


def spec(steps: int = 10, threads: int = 2, gpus: int = 0, priority: int = 0) -> JobSpec:
    return JobSpec("train_cgn", {"steps": steps}, Resources(threads, gpus), priority)


def claim_next(claims: Claims) -> Claim:
    claim = claims.claim()
    assert claim
    return claim


async def history(queue: JobQueue, job_id: str, after: str = "") -> list[Event]:
    return [event async for event in queue.events(job_id, after)]


def states_of(events: list[Event]) -> list[JobState]:
    return [event.body.state for event in events if isinstance(event.body, StateChange)]


async def test_a_request_id_queues_one_job_only(queue: JobQueue) -> None:
    jobs = await asyncio.gather(*(queue.submit(spec(), REQUEST) for _ in range(8)))
    assert len({job.job_id for job in jobs}) == 1
    with pytest.raises(RequestIdReused) as refused:
        await queue.submit(spec(steps=11), REQUEST)
    assert refused.value.job_id == jobs[0].job_id
    assert len(await queue.page(JobFilter(), 10)) == 1


async def test_claims_go_by_priority_then_age_and_fit_the_offer(queue: JobQueue, claims: Claims) -> None:
    first = await queue.submit(spec())
    second = await queue.submit(spec())
    urgent = await queue.submit(spec(priority=100))
    lowest = await queue.submit(spec(priority=-100))
    large = await queue.submit(spec(threads=3, priority=50))
    needs_gpu = await queue.submit(spec(gpus=1, priority=50))
    order = [urgent, large, needs_gpu, first, second, lowest]
    places = {job.job_id: job.queue_position for job in await queue.page(JobFilter(), 10)}
    assert [places[job.job_id] for job in order] == [1, 2, 3, 4, 5, 6]
    claimed_ids = [claim_next(claims).job_id for _ in range(4)]
    assert claimed_ids == [job.job_id for job in (urgent, first, second, lowest)]
    assert claims.claim() is None
    assert [(await queue.get(job.job_id)).queue_position for job in (urgent, large, needs_gpu)] == [0, 1, 2]


async def test_a_worker_with_gpus_takes_the_jobs_that_need_them_first(
    queue: JobQueue, claims: Claims, sync_redis: redis.Redis
) -> None:
    low = await queue.submit(spec(gpus=2, priority=-1))
    plain = await queue.submit(spec())
    one = await queue.submit(spec(gpus=1))
    two = await queue.submit(spec(gpus=2))
    later = await queue.submit(spec(gpus=2))
    four = await queue.submit(spec(gpus=4))
    also_plain = await queue.submit(spec())
    urgent = await queue.submit(spec(priority=1))
    gpu_worker = Claims(sync_redis, "host:2", Resources(2, 2))
    claimed_ids = [claim_next(gpu_worker).job_id for _ in range(5)]
    assert claimed_ids == [job.job_id for job in (urgent, two, later, one, plain)]
    assert claim_next(claims).job_id == also_plain.job_id
    assert claim_next(gpu_worker).job_id == low.job_id
    assert claim_next(Claims(sync_redis, "host:3", Resources(2, 4))).job_id == four.job_id


async def test_the_record_has_the_latest_progress_and_the_log_a_selection(
    queue: JobQueue, claims: Claims
) -> None:
    job = await queue.submit(spec())
    claim = claim_next(claims)
    now = 0.0
    outbox = Outbox(claim, clock=lambda: now)
    for half_seconds in range(241):  # two minutes of a run that reports every half second
        now = half_seconds / 2
        outbox.put(Progress(half_seconds, 1000, 0.5, 1.0))
        outbox.put(LogLine(str(half_seconds)))
        outbox.flush()
        if half_seconds == 121:
            job_now = await queue.get(job.job_id)
            assert job_now.progress == Progress(121, 1000, 0.5, 1.0)
    outbox.put(Progress(999, 1000, 0.5, 1.0))
    outbox.flush(last=True)
    claim.release(Outcome(JobState.SUCCEEDED, ""))
    bodies = [event.body for event in await history(queue, job.job_id)]
    assert sum(isinstance(body, LogLine) for body in bodies) == 241
    steps = [body.step for body in bodies if isinstance(body, Progress)]
    assert steps == [*range(0, 121, 4), 140, 160, 180, 200, 220, 240, 999]
    assert (await queue.get(job.job_id)).progress == Progress(999, 1000, 0.5, 1.0)


async def test_records_of_another_release_are_read_as_far_as_possible(
    queue: JobQueue, claims: Claims, sync_redis: redis.Redis
) -> None:
    job = await queue.submit(spec())
    claim = claim_next(claims)
    claim.append([Progress(1, 10, 0.5, 4.5), Artefact("scores", "x", 5)])
    key = f"cgn:job:{job.job_id}"
    newer = {"step": 2, "total_steps": 10, "step_seconds": 0.5, "eta_seconds": 4.0, "joules": 7.0}
    sync_redis.hset(key, "progress", json.dumps(newer))
    sync_redis.rpush(f"{key}:artefacts", json.dumps({"kind": "model", "path": "m", "bytes": 1, "owner": "x"}))
    for kind, data in (("progress", newer), ("dream", {}), ("state_change", {"state": "ASLEEP"})):
        sync_redis.xadd(f"{key}:events", {"kind": kind, "data": json.dumps(data)})
    sync_redis.hincrby("cgn:jobs:counts", "train_cgn:ASLEEP", 1)
    expected = Progress(2, 10, 0.5, 4.0)
    job_now = await queue.get(job.job_id)
    assert job_now.progress == expected
    assert job_now.artefacts == (Artefact("scores", "x", 5), Artefact("model", "m", 1))
    assert [held.progress for held in (await queue.overview()).held] == [expected]
    sync_redis.hset(key, "progress", json.dumps({"stage": 1}))
    assert [held.progress for held in (await queue.overview()).held] == [None]
    bad = await queue.submit(spec())
    sync_redis.hset(f"cgn:job:{bad.job_id}", "cpu_threads", "many")
    sync_redis.hset(key, "progress", json.dumps(newer))
    assert [listed.job_id for listed in await queue.page(JobFilter(), 10)] == [job.job_id]
    claim.release(Outcome(JobState.SUCCEEDED, ""))
    bodies = [event.body for event in await history(queue, job.job_id)]
    assert bodies[4:] == [expected, StateChange(JobState.SUCCEEDED, "")]


async def test_no_job_is_claimed_twice(queue: JobQueue, server: LocalRedis) -> None:
    jobs = {(await queue.submit(spec(priority=i % 3))).job_id for i in range(60)}

    def claim_all(number: int) -> list[str]:
        with client(server.url) as connection:
            claims = Claims(connection, f"host:{number}", Resources(2, 0))
            return [claim.job_id for claim in iter(claims.claim, None)]

    with ThreadPoolExecutor(4) as pool:
        claimed_ids = [job_id for ids in pool.map(claim_all, range(4)) for job_id in ids]
    assert len(claimed_ids) == len(jobs)
    assert set(claimed_ids) == jobs


async def test_record_and_log_have_the_workers_events(queue: JobQueue, claims: Claims) -> None:
    job = await queue.submit(spec())
    claim = claim_next(claims)
    assert (claim.config, claim.attempt, claim.resources) == ({"steps": 10}, 1, Resources(2, 0))
    events_sent: list[Body] = [
        LogLine("ὕδωρ"),
        Progress(1, 10, 0.5, 4.5, {"loss": float("inf"), "other": 1e-300}, 0.25),
        Artefact("checkpoint", "x/1", 5),
        Artefact("model", "my_cgn/v1", 7),
        Artefact("checkpoint", "x/1", 6),
    ]
    claim.append(events_sent)
    assert (
        claim.release(Outcome(JobState.SUCCEEDED, "", model_name="my_cgn", model_version="v1"))
        is JobState.SUCCEEDED
    )
    job_now = await queue.get(job.job_id)
    assert job_now.progress == events_sent[1]
    assert job_now.artefacts == (events_sent[3], events_sent[4])
    assert (job_now.state, job_now.model_name, job_now.model_version) == (JobState.SUCCEEDED, "my_cgn", "v1")
    assert (
        job_now.start_time
        and job_now.end_time
        and job_now.create_time <= job_now.start_time <= job_now.end_time
    )
    events = await history(queue, job.job_id)
    assert [event.body for event in events[2:-1]] == events_sent
    assert states_of(events) == [JobState.PENDING, JobState.RUNNING, JobState.SUCCEEDED]
    assert await history(queue, job.job_id, events[3].event_id) == events[4:]
    assert await history(queue, job.job_id, events[-1].event_id) == []


async def test_a_lost_worker_cannot_write(queue: JobQueue, sync_redis: redis.Redis) -> None:
    job = await queue.submit(spec())
    stalled = claim_next(Claims(sync_redis, "host:1", Resources(2, 0), lease_seconds=0.0))
    await asyncio.sleep(0.01)
    (lost,) = await queue.reclaim()
    assert (lost.job_id, lost.state, lost.worker) == (job.job_id, JobState.PENDING, "host:1")
    again = claim_next(Claims(sync_redis, "host:2", Resources(2, 0)))
    assert (again.job_id, again.attempt) == (job.job_id, 2)
    length = sync_redis.xlen(f"cgn:job:{job.job_id}:events")
    for write in (
        stalled.renew,
        stalled.state,
        lambda: stalled.append([LogLine("still here")]),
        lambda: stalled.release(Outcome(JobState.SUCCEEDED, "")),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert sync_redis.xlen(f"cgn:job:{job.job_id}:events") == length
    assert again.renew() is JobState.RUNNING
    assert await queue.reclaim() == []


async def test_a_job_fails_after_too_many_lost_workers_but_a_release_is_no_loss(
    queue: JobQueue, sync_redis: redis.Redis
) -> None:
    job = await queue.submit(spec())
    expiring = Claims(sync_redis, "host:1", Resources(2, 0), lease_seconds=0.0)
    for _ in range(MAX_LOSSES + 1):
        assert claim_next(expiring).release(Outcome(JobState.PENDING, "queued again")) is JobState.PENDING
    for _ in range(MAX_LOSSES):
        claim_next(expiring)
        await asyncio.sleep(0.01)
        await queue.reclaim()
    job_now = await queue.get(job.job_id)
    assert job_now.state is JobState.FAILED
    assert job_now.attempt == 2 * MAX_LOSSES + 1
    assert f"lost {MAX_LOSSES} times" in job_now.message


async def test_a_new_checkpoint_resets_the_losses(queue: JobQueue, sync_redis: redis.Redis) -> None:
    job = await queue.submit(spec())
    expiring = Claims(sync_redis, "host:1", Resources(2, 0), lease_seconds=0.0)
    for number in range(MAX_LOSSES + 2):
        claim_next(expiring).append([Artefact("checkpoint", f"{job.job_id}/checkpoint-{number}", 1)])
        assert [lost.state for lost in await queue.reclaim()] == [JobState.PENDING]
    for number in range(MAX_LOSSES - 1):
        # Only a newer checkpoint resets the losses. A killed run counts as a loss.
        claim = claim_next(expiring)
        claim.append([Artefact("checkpoint", f"{job.job_id}/checkpoint-{number}", 1)])
        claim.release(Outcome(JobState.PENDING, "the run was killed", Reason.KILLED, lost=True))
    job_now = await queue.get(job.job_id)
    assert (job_now.state, job_now.reason) == (JobState.FAILED, "KILLED")
    assert job_now.message.startswith("given up: the run was killed")


async def test_events_are_written_once_if_the_reply_is_lost(
    queue: JobQueue, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await queue.submit(spec())
    claim = claim_next(claims)
    outbox = Outbox(claim)
    append = claim._append

    def append_and_lose_reply(**call: Any) -> None:
        append(**call)
        raise redis.ConnectionError("the reply was lost")

    outbox.put(LogLine("first"))
    with monkeypatch.context() as patch:
        patch.setattr(claim, "_append", append_and_lose_reply)
        with pytest.raises(redis.ConnectionError):
            outbox.flush()
    outbox.put(LogLine("second"))
    outbox.flush()
    claim.release(Outcome(JobState.SUCCEEDED, ""))
    bodies = [event.body for event in await history(queue, job.job_id)]
    assert bodies[2:-1] == [LogLine("first"), LogLine("second")]


async def test_cancel(queue: JobQueue, claims: Claims, sync_redis: redis.Redis) -> None:
    waiting = await queue.submit(spec())
    assert (await queue.cancel(waiting.job_id)).state is JobState.CANCELLED
    assert claims.claim() is None

    running = await queue.submit(spec())
    claim = claim_next(claims)
    assert (await queue.cancel(running.job_id)).state is JobState.CANCELLING
    assert (await queue.cancel(running.job_id)).state is JobState.CANCELLING
    assert claim.state() is JobState.CANCELLING
    assert claim.release(Outcome(JobState.FAILED, "it broke")) is JobState.CANCELLED
    ended = await queue.get(running.job_id)
    assert ended.message == "cancelled; it broke"
    assert await queue.cancel(running.job_id) == ended

    await queue.submit(spec())
    quick = claim_next(claims)
    await queue.cancel(quick.job_id)
    assert (
        quick.release(Outcome(JobState.SUCCEEDED, "", model_name="my_cgn", model_version="v1"))
        is JobState.SUCCEEDED
    )

    await queue.submit(spec())
    lost = claim_next(Claims(sync_redis, "host:1", Resources(2, 0), lease_seconds=0.0))
    await queue.cancel(lost.job_id)
    await asyncio.sleep(0.01)
    assert [job_now.state for job_now in await queue.reclaim()] == [JobState.CANCELLED]

    with pytest.raises(UnknownJob):
        await queue.cancel("0" * 12)


async def test_only_transitions_of_the_table_are_allowed(queue: JobQueue, claims: Claims) -> None:
    for target in set(JobState) - TRANSITIONS[JobState.RUNNING]:
        job = await queue.submit(spec())
        claim = claim_next(claims)
        with pytest.raises(ResponseError, match="cannot go from RUNNING"):
            claim.release(Outcome(target, ""))
        assert (await queue.get(job.job_id)).state is JobState.RUNNING
        assert claim.renew() is JobState.RUNNING
        claim.release(Outcome(JobState.SUCCEEDED, ""))


async def test_watching_follows_a_job_to_its_end(queue: JobQueue, claims: Claims) -> None:
    job = await queue.submit(spec())
    watch = asyncio.create_task(history(queue, job.job_id))
    claim = await asyncio.to_thread(claim_next, claims)
    for step in range(5):
        await asyncio.to_thread(claim.append, [Progress(step, 5, 0.1, 0.1)])
    await asyncio.to_thread(claim.release, Outcome(JobState.FAILED, "why"))
    events = await watch
    assert states_of(events) == [JobState.PENDING, JobState.RUNNING, JobState.FAILED]
    assert len(events) == 8
    with pytest.raises(UnknownJob):
        await history(queue, "0" * 12)


async def test_the_log_is_capped_and_still_has_the_end(queue: JobQueue, claims: Claims) -> None:
    job = await queue.submit(spec())
    claim = claim_next(claims)
    for _ in range(MAX_EVENTS // 500 + 3):
        claim.append(Progress(step, 10, 0.1, 0.1) for step in range(500))
    claim.release(Outcome(JobState.SUCCEEDED, ""))
    events = await history(queue, job.job_id)
    assert MAX_EVENTS <= len(events) < MAX_EVENTS + 500
    assert events[-1].body == StateChange(JobState.SUCCEEDED, "")


async def test_the_overview_counts_jobs_and_shows_held_ones(queue: JobQueue, claims: Claims) -> None:
    for _ in range(3):
        await queue.submit(spec())
    claim, done = claim_next(claims), claim_next(claims)
    claim.append([Progress(3, 10, 0.1, 0.7)])
    done.release(Outcome(JobState.SUCCEEDED, ""))
    overview = await queue.overview()
    counts = {state: n for (kind, state), n in overview.counts.items() if kind == "train_cgn" and n}
    assert counts == {JobState.PENDING: 1, JobState.RUNNING: 1, JobState.SUCCEEDED: 1}
    assert [(held.job_id, held.progress) for held in overview.held] == [
        (claim.job_id, Progress(3, 10, 0.1, 0.7))
    ]
    assert overview.leases_expired == 0
    assert overview.oldest_pending_seconds > 0


async def test_workers_are_listed_from_announce_to_withdraw(queue: JobQueue, claims: Claims) -> None:
    assert await queue.workers() == []
    claims.announce()
    assert [(worker.name, worker.offer) for worker in await queue.workers()] == [("host:1", Resources(2, 0))]
    claims.withdraw()
    assert await queue.workers() == []
