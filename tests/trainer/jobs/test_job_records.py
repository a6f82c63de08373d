"""The job records in a real Redis: filters, quota, time limits, lineage, deletion, gaps, totals."""

import json
from typing import Any

import pytest
import redis

from trainer.jobs.claims import Claim, Claims
from trainer.jobs.errors import (
    CheckpointNeeded,
    JobIdTaken,
    NotEnded,
    ParentDeleted,
    RequestedJobDeleted,
    RequestIdReused,
    TooManyQueuedJobs,
    UnknownJob,
)
from trainer.jobs.events import Gap, LogLine, Progress, StateChange
from trainer.jobs.outcome import Outcome
from trainer.jobs.queue import JobFilter, JobQueue
from trainer.jobs.reasons import Reason
from trainer.jobs.record import Job, JobSpec, Lineage, Resources
from trainer.jobs.states import JobState
from trainer.run.options import FieldError

REQUEST = "0b9d25b0-5a0c-4f8e-9f3d-0c9c1f6c1d55"


def spec(kind: str = "train_cgn", **fields: Any) -> JobSpec:
    return JobSpec(kind, {"steps": 10}, Resources(2, 0), **fields)


def claimed(claims: Claims) -> Claim:
    claim = claims.claim()
    assert claim
    return claim


async def test_pages_are_full_despite_unreadable_records(queue: JobQueue, sync_redis: redis.Redis) -> None:
    jobs = [await queue.submit(spec()) for _ in range(12)]
    for job in jobs[3:9]:  # as another release may write them
        sync_redis.hset(f"cgn:job:{job.job_id}", "cpu_threads", "many")
    readable = [job.job_id for job in reversed(jobs[:3] + jobs[9:])]
    first = await queue.page(JobFilter(), 4)
    assert [job.job_id for job in first] == readable[:4]
    assert [job.job_id for job in await queue.page(JobFilter(), 4, first[-1].sequence)] == readable[4:]


async def test_pages_are_newest_first_and_by_state(queue: JobQueue, claims: Claims) -> None:
    jobs = [await queue.submit(spec(priority=-i)) for i in range(6)]
    claimed(claims)
    newest_first = [job.job_id for job in reversed(jobs)]

    def ids(page: list[Job]) -> list[str]:
        return [job.job_id for job in page]

    first = await queue.page(JobFilter(), 4)
    assert ids(first) == newest_first[:4]
    assert ids(await queue.page(JobFilter(), 4, before=first[-1].sequence)) == newest_first[4:]
    assert ids(await queue.page(JobFilter([JobState.RUNNING]), 4)) == [jobs[0].job_id]
    assert ids(await queue.page(JobFilter([JobState.FAILED]), 4)) == []


async def test_a_job_must_match_all_filters(queue: JobQueue, claims: Claims) -> None:
    red = await queue.submit(spec(labels={"team": "red", "run": "1"}), owner="ada")
    blue = await queue.submit(spec(labels={"team": "blue"}), owner="ada")
    other = await queue.submit(spec("train_classifier", labels={"team": "red"}), owner="bob")
    claimed(claims).release(Outcome(JobState.FAILED, "why"))
    child = await queue.submit(spec(), lineage=Lineage(red.job_id))

    async def ids(**fields: Any) -> list[str]:
        return [job.job_id for job in await queue.page(JobFilter(**fields), 10)]

    assert await ids() == [child.job_id, other.job_id, blue.job_id, red.job_id]
    assert await ids(labels={"team": "red"}) == [other.job_id, red.job_id]
    assert await ids(labels={"team": "red", "run": "1"}) == [red.job_id]
    assert await ids(kinds=["train_classifier"]) == [other.job_id]
    assert await ids(owner="ada", states=[JobState.PENDING]) == [blue.job_id]
    assert await ids(parent=red.job_id) == [child.job_id]
    assert await ids(parent=red.job_id, owner="ada") == []
    assert (await queue.get(red.job_id)).spec.labels == {"team": "red", "run": "1"}


async def test_a_rare_job_is_found_among_very_many(queue: JobQueue, sync_redis: redis.Redis) -> None:
    first = await queue.submit(spec(labels={"kind": "rare"}))
    for _ in range(3):
        await queue.submit(spec())
    # More than one call looks at, without submitting them all: ids without a record are skipped.
    sync_redis.zadd("cgn:jobs:FAILED", {f"gone{number}": 10 + number for number in range(2500)})
    page = await queue.page(JobFilter(labels={"kind": "rare"}), 5)
    assert [job.job_id for job in page] == [first.job_id]


@pytest.mark.parametrize(
    "labels",
    [
        {"Upper": "x"},
        {"": "x"},
        {"a": "x" * 64},
        {"a": "\n"},
        {f"k{n}": "" for n in range(33)},
        {"a" * 64: ""},
    ],
)
def test_bad_labels_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(FieldError) as caught:
        spec(labels=labels)
    assert caught.value.field == "labels"


async def test_a_chosen_id_is_used_once(queue: JobQueue) -> None:
    job = await queue.submit(spec(), REQUEST, job_id="nightly-1")
    assert job.job_id == "nightly-1"
    assert (await queue.submit(spec(), REQUEST, job_id="nightly-1")).job_id == "nightly-1"
    with pytest.raises(JobIdTaken):
        await queue.submit(spec(), job_id="nightly-1")
    with pytest.raises(RequestIdReused):
        await queue.submit(spec(), REQUEST, job_id="nightly-2")
    assert len(await queue.page(JobFilter(), 10)) == 1


async def test_an_owners_queued_jobs_are_limited(queue: JobQueue, claims: Claims) -> None:
    jobs = [await queue.submit(spec(), owner="ada", most_queued=2) for _ in range(2)]
    with pytest.raises(TooManyQueuedJobs) as caught:
        await queue.submit(spec(), REQUEST, owner="ada", most_queued=2)
    assert caught.value.queued == 2
    await queue.submit(spec(), owner="bob", most_queued=2)
    claim = claimed(claims)
    third = await queue.submit(spec(), REQUEST, owner="ada", most_queued=2)
    # The same request again is no other job, however full the queue.
    assert await queue.submit(spec(), REQUEST, owner="ada", most_queued=2) == third
    claim.release(Outcome(JobState.PENDING, "handed back"))  # one more than may be submitted, and not refused
    with pytest.raises(TooManyQueuedJobs) as caught:
        await queue.submit(spec(), owner="ada", most_queued=3)
    assert caught.value.queued == 3
    for job in jobs:
        await queue.cancel(job.job_id)
    await queue.submit(spec(), owner="ada", most_queued=2)


async def test_the_time_limit_counts_all_attempts(queue: JobQueue, claims: Claims) -> None:
    job = await queue.submit(spec(time_limit_seconds=60))
    free = await queue.submit(spec())
    claim = claimed(claims)
    claim._reported_at -= 40  # as if it had run for so long
    claim.renew()
    assert await queue.stop_overtime() == []
    claim.release(Outcome(JobState.PENDING, "its worker was stopped"))
    again = claimed(claims)
    assert again.job_id == job.job_id
    again._reported_at -= 15
    again.renew()
    assert await queue.stop_overtime() == []
    again._reported_at -= 10
    again.renew()
    assert await queue.stop_overtime() == [job.job_id]
    assert await queue.stop_overtime() == []
    assert again.state() is JobState.CANCELLING
    assert again.release(Outcome(JobState.CANCELLED, "cancelled")) is JobState.FAILED
    ended = await queue.get(job.job_id)
    assert (ended.state, ended.reason) == (JobState.FAILED, "TIME_LIMIT")
    assert ended.message == "its time limit of 60 s is over; ResumeJob continues from its checkpoint"
    unlimited = claimed(claims)
    assert unlimited.job_id == free.job_id
    unlimited._reported_at -= 10_000
    unlimited.renew()
    assert await queue.stop_overtime() == []


async def test_a_job_that_ends_well_despite_the_limit_has_succeeded(queue: JobQueue, claims: Claims) -> None:
    await queue.submit(spec(time_limit_seconds=1))
    claim = claimed(claims)
    claim._reported_at -= 5
    claim.renew()
    assert len(await queue.stop_overtime()) == 1
    assert (
        claim.release(Outcome(JobState.SUCCEEDED, "", model_name="my_cgn", model_version="v1"))
        is JobState.SUCCEEDED
    )


async def test_only_ended_jobs_without_waiting_dependents_are_deleted(
    queue: JobQueue, claims: Claims, sync_redis: redis.Redis
) -> None:
    job = await queue.submit(spec(), REQUEST, job_id="old")
    with pytest.raises(NotEnded):
        await queue.delete(job.job_id)
    claimed(claims).release(Outcome(JobState.FAILED, "why"))
    dependent = await queue.submit(spec(), lineage=Lineage("old", from_checkpoint=True))
    with pytest.raises(CheckpointNeeded) as caught:
        await queue.delete("old")
    assert caught.value.dependent == dependent.job_id
    claim = claimed(claims)
    assert claim.resume_from_job == "old"
    claim.release(Outcome(JobState.SUCCEEDED, ""))
    await queue.delete("old")
    assert sync_redis.keys("cgn:job:old*") == []
    with pytest.raises(UnknownJob):
        await queue.get("old")
    assert [job.job_id for job in await queue.page(JobFilter(), 10)] == [dependent.job_id]
    # Its id is free once its files are gone; its request id never stands for another job.
    assert await queue.pending_deletion() == ["old"]
    with pytest.raises(JobIdTaken):
        await queue.submit(spec(), job_id="old")
    await queue.mark_deleted("old")
    with pytest.raises(RequestedJobDeleted):
        await queue.submit(spec(), REQUEST, job_id="old")
    assert (await queue.submit(spec(), job_id="old")).job_id == "old"
    with pytest.raises(UnknownJob):
        await queue.delete("never")
    with pytest.raises(ParentDeleted) as orphan:
        await queue.submit(spec(), lineage=Lineage("never"))
    assert orphan.value.job_id == "never"


async def test_a_record_expires_by_its_own_days_unless_a_dependent_needs_it(
    queue: JobQueue, claims: Claims, sync_redis: redis.Redis
) -> None:
    day, long = await queue.submit(spec(keep_days=1)), await queue.submit(spec())
    needed = await queue.submit(spec(keep_days=1))
    for _ in range(3):
        claimed(claims).release(Outcome(JobState.FAILED, "why"))
    await queue.submit(spec(), lineage=Lineage(needed.job_id, from_checkpoint=True))
    for job in (day, long, needed):
        sync_redis.zincrby("cgn:jobs:expiry", -86_401, job.job_id)  # as if it had ended so much earlier
    assert await queue.delete_expired() == 1
    assert {job.job_id for job in await queue.page(JobFilter([JobState.FAILED]), 10)} == {
        long.job_id,
        needed.job_id,
    }
    assert await queue.pending_deletion() == [day.job_id]
    assert (await queue.overview()).counts["train_cgn", JobState.FAILED] == 2
    assert sync_redis.keys(f"cgn:job:{day.job_id}*") == []
    with pytest.raises(UnknownJob):
        await queue.get(day.job_id)


async def test_a_reader_of_missing_events_gets_a_gap(
    queue: JobQueue, claims: Claims, sync_redis: redis.Redis
) -> None:
    job = await queue.submit(spec())
    claim = claimed(claims)
    claim.append([LogLine(str(number)) for number in range(8)])
    claim.release(Outcome(JobState.SUCCEEDED, ""))
    key = f"cgn:job:{job.job_id}:events"
    whole = [event async for event in queue.events(job.job_id)]
    assert len(whole) == 11 and not any(isinstance(event.body, Gap) for event in whole)
    sync_redis.xtrim(key, maxlen=4, approximate=False)
    gap, *rest = [event async for event in queue.events(job.job_id)]
    assert gap.body == Gap(7) and rest == whole[7:]
    assert [event async for event in queue.events(job.job_id, whole[7].event_id)] == whole[8:]
    # The gap's own id leads on as well, and a filter does not hide a gap.
    assert [event async for event in queue.events(job.job_id, gap.event_id)][1:] == whole[7:]
    filtered = [event async for event in queue.events(job.job_id, kinds=["state_change"])]
    assert [type(event.body) for event in filtered] == [Gap, StateChange]
    sync_redis.delete(key)
    assert [event.body async for event in queue.events(job.job_id)] == [Gap(11)]


async def test_totals_count_all_events(queue: JobQueue, claims: Claims, sync_redis: redis.Redis) -> None:
    await queue.submit(spec())
    claimed(claims).release(Outcome(JobState.PENDING, "its worker was stopped"))
    claim = claimed(claims)
    claim._reported_at -= 100
    claim.append([Progress(1, 10, 0.5, 4.5)])
    claim.release(Outcome(JobState.SUCCEEDED, ""))
    await queue.submit(spec("train_classifier"))
    for _ in range(3):
        claimed(claims).release(Outcome(JobState.PENDING, "killed", Reason.KILLED, lost=True))
    totals = (await queue.overview()).totals
    assert totals.attempts == {"train_cgn": 2, "train_classifier": 3}
    assert totals.requeued == {
        ("train_cgn", "handed_back"): 1,
        ("train_classifier", "killed"): 2,
    }
    assert totals.waited["train_cgn"].counts[0] == 2
    ran = totals.ran["train_cgn", JobState.SUCCEEDED]
    assert ran.counts == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0] and 100 <= ran.seconds < 200
    assert totals.ran["train_classifier", JobState.FAILED].counts[0] == 1
    sync_redis.hset("cgn:jobs:totals", "dreamt:train_cgn", "7")  # by another release
    assert (await queue.overview()).totals == totals


async def test_a_run_that_repeats_a_step_is_idle(
    queue: JobQueue, claims: Claims, sync_redis: redis.Redis
) -> None:
    job = await queue.submit(spec())
    claim = claimed(claims)

    async def idle_after(step: int, seconds: float) -> float:
        """Returns the idle time after a progress that follows the previous one by `seconds`."""
        key = f"cgn:job:{job.job_id}"
        sync_redis.hset(key, "progress_at", float(str(sync_redis.hget(key, "progress_at"))) - seconds)
        claim.show(Progress(step, 10, 0.5, 4.5))
        (held,) = (await queue.overview()).held
        return held.idle_seconds

    assert await idle_after(1, 100) < 50
    assert await idle_after(1, 100) >= 100
    assert await idle_after(2, 100) < 50


def test_a_record_of_an_earlier_release_has_the_defaults() -> None:
    fields = spec(labels={"a": "b"}).fields()
    for name in ("labels", "keep_days", "time_limit_seconds"):
        del fields[name]
    assert JobSpec.from_fields(fields) == spec()
    assert json.loads(spec(labels={"a": "b"}).fields()["labels"]) == {"a": "b"}
