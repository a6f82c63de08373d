"""The service's side of the jobs: submit, read, watch, cancel, delete, reclaim from lost workers."""

import asyncio
import dataclasses
import hashlib
import json
import logging
import re
import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from trainer.jobs.errors import (
    CheckpointNeeded,
    Interrupted,
    JobIdTaken,
    NotEnded,
    NotSubmitted,
    ParentDeleted,
    RequestedJobDeleted,
    RequestIdReused,
    TooManyQueuedJobs,
    UnknownJob,
)
from trainer.jobs.events import EVENT_KINDS, Event, Gap, Progress, decode, from_fields
from trainer.jobs.leases import Lease, LeaseWatch
from trainer.jobs.outcome import (
    CANCELLED_WHILE_PENDING,
    TIME_LIMIT_MESSAGE,
    TIME_LIMIT_REACHED,
    after_lost_worker,
)
from trainer.jobs.record import Job, JobSpec, Lineage, Resources
from trainer.jobs.scripts import load
from trainer.jobs.states import JobState
from trainer.jobs.totals import Totals

JOB_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
JOB_ID_HELP = "a lowercase letter or digit, then up to 47 of a-z, 0-9, '-'"
_EVENT_ID = re.compile(r"\d{1,20}-\d{1,20}")
_HIGHEST_EVENT_PART = 2**64 - 1
_BLOCK_MS = 1000  # longest wait for events; a watcher that is asked to stop does so after it at the latest
_EVENTS_PER_READ = 500
_BAD_RECORD = (KeyError, TypeError, ValueError)  # raised by records that only another release can read

log = logging.getLogger(__name__)

_NOT_SUBMITTED: dict[str, type[NotSubmitted]] = {  # by submit.lua's word
    "reused": RequestIdReused,
    "deleted": RequestedJobDeleted,
    "taken": JobIdTaken,
    "parent_deleted": ParentDeleted,
}


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list. A job matches all fields; an empty field matches every job."""

    states: Sequence[JobState] = tuple(JobState)
    kinds: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)  # a job has all of them
    parent: str = ""
    owner: str = ""


@dataclass(frozen=True)
class HeldJob:
    """A job that a worker holds, as metrics need it."""

    job_id: str
    kind: str
    progress: Progress | None
    idle_seconds: float  # since the last new step, or the beginning of the attempt
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Overview:
    """All jobs in numbers, and the jobs that workers hold."""

    counts: dict[tuple[str, JobState], int]  # by kind and state
    oldest_pending_seconds: float  # since its submission; 0 if no job is PENDING
    leases_expired: int
    held: tuple[HeldJob, ...]
    totals: Totals


@dataclass(frozen=True)
class Worker:
    """A live worker and the resources that it offers."""

    name: str  # host:pid
    offer: Resources


@dataclass(frozen=True)
class Reclaimed:
    """A job whose worker was lost."""

    job_id: str
    state: JobState  # the state that it has entered
    worker: str  # host:pid of the lost worker


def is_event_id(text: str) -> bool:
    """Whether a text can be the id of an event."""
    return bool(_EVENT_ID.fullmatch(text)) and all(
        int(part) <= _HIGHEST_EVENT_PART for part in text.split("-")
    )


class JobQueue:
    """The jobs in Redis.

    Methods raise redis.exceptions.RedisError if Redis cannot be reached. Every change happens as a whole or
    not at all.
    """

    def __init__(self, redis: Redis) -> None:
        """redis: a client that decodes responses."""
        self._redis = redis
        self._leases = LeaseWatch()

    async def _call(self, script: str, *arguments: str | int) -> Any:
        return await self._redis.register_script(load(script))(args=arguments)

    async def submit(
        self,
        spec: JobSpec,
        request_id: str = "",
        *,
        job_id: str = "",
        owner: str = "",
        most_queued: int = 0,
        lineage: Lineage = Lineage(),  # noqa: B008 (it is frozen)
    ) -> Job:
        """Queues a job and returns it. A request that has queued a job before returns that job.

        job_id: empty: a new id. owner: the caller that submits it. most_queued: PENDING jobs that an owner
        may have; 0: any number. Raises NotSubmitted or TooManyQueuedJobs.
        """
        request = json.dumps([spec.fields(), job_id, dataclasses.astuple(lineage)])
        digest = hashlib.blake2b(request.encode(), digest_size=16).hexdigest()
        fields = [text for pair in spec.fields().items() for text in pair]
        origin = [owner, lineage.parent, str(int(lineage.from_checkpoint))]
        new_id = job_id or secrets.token_hex(6)
        word, detail = await self._call("submit", new_id, request_id, digest, most_queued, *origin, *fields)
        if word == "full":
            raise TooManyQueuedJobs(int(detail))
        if word in _NOT_SUBMITTED:
            raise _NOT_SUBMITTED[word](detail)
        return await self.get(detail)

    async def has_seen(self, request_id: str) -> bool:
        """Whether a request of this id has queued a job before. False for an empty id."""
        return bool(request_id and await self._redis.exists(f"cgn:request:{request_id}"))

    async def is_taken(self, job_id: str) -> bool:
        """Whether a job has this id, or files of a deleted job with this id may still exist."""
        if await self._redis.exists(f"cgn:job:{job_id}"):
            return True
        return bool(await self._redis.sismember("cgn:jobs:rubbish", job_id))

    async def get(self, job_id: str) -> Job:
        """Returns the job. Raises UnknownJob."""
        record = await self._call("read", job_id)
        if record is None:
            raise UnknownJob(job_id)
        return _job(record)

    async def page(self, job_filter: JobFilter, limit: int, before: int | None = None) -> list[Job]:
        """Returns jobs, newest first; fewer than the limit only if no more can be read.

        before: return only jobs with a lower Job.sequence.
        """
        filter_json = json.dumps(dataclasses.asdict(job_filter))
        bound = "+inf" if before is None else str(before)
        jobs: list[Job] = []
        while bound and len(jobs) < limit:
            bound, records = await self._call("list", bound, limit - len(jobs), filter_json)
            jobs += [job for record in records if (job := _readable_job(record))]
        return jobs

    async def cancel(self, job_id: str) -> Job:
        """Ends a PENDING job, asks a RUNNING job to stop, and leaves any other as it is.

        Raises UnknownJob.
        """
        if not await self._call("cancel", job_id, CANCELLED_WHILE_PENDING):
            raise UnknownJob(job_id)
        return await self.get(job_id)

    async def delete(self, job_id: str) -> None:
        """Deletes the record of a job that has ended; its files are to be deleted next.

        Raises UnknownJob, NotEnded or CheckpointNeeded.
        """
        word, detail = await self._call("delete", job_id)
        if word == "unknown":
            raise UnknownJob(job_id)
        if word == "not_ended":
            raise NotEnded(JobState(detail))
        if word == "needed":
            raise CheckpointNeeded(detail)

    async def pending_deletion(self) -> list[str]:
        """Returns the ids of deleted jobs whose files may still exist."""
        job_ids: Any = await self._redis.smembers("cgn:jobs:rubbish")
        return sorted(job_ids)

    async def mark_deleted(self, job_id: str) -> None:
        """Records that the files of a deleted job no longer exist. Its id may be used again."""
        await self._redis.srem("cgn:jobs:rubbish", job_id)

    async def events(
        self,
        job_id: str,
        after: str = "",
        stop: asyncio.Event | None = None,
        kinds: Collection[str] = EVENT_KINDS,
    ) -> AsyncIterator[Event]:
        """Yields the job's events after the event with the id `after`, as they are written, until the job's
        end.

        The first event is a Gap if older events are missing. kinds: the kinds of EVENT_KINDS to yield. Raises
        UnknownJob, and Interrupted about a second after `stop` was set.
        """
        key, last = f"cgn:job:{job_id}", after or "0-0"
        if dropped := await self._dropped(job_id, last):
            yield Event(last, Gap(dropped))
        while True:
            # Read before the log: if the job has ended by now, its log is complete.
            state: Any = await self._redis.hget(key, "state")
            if state is None:
                raise UnknownJob(job_id)
            ended = JobState(state).ended
            if stop and stop.is_set():
                raise Interrupted(job_id)
            read: Any = await self._redis.xread(
                {f"{key}:events": last}, count=_EVENTS_PER_READ, block=None if ended else _BLOCK_MS
            )
            entries = read[0][1] if read else []
            for last, fields in entries:
                if fields.get("kind") not in kinds:
                    continue
                try:
                    body = decode(fields["kind"], fields["data"])
                except _BAD_RECORD as error:
                    log.debug("event skipped", extra={"job_id": job_id, "error": str(error)})
                    continue
                yield Event(last, body)
            if ended and not entries:
                return

    async def _dropped(self, job_id: str, after: str) -> int:
        """Returns how many events are missing at the log's beginning; 0 if none of them is after `after`."""
        written, entries, first = await self._call("log_extent", job_id)
        reaches_back = first and _event_place(first) <= _event_place(after)
        return 0 if reaches_back else max(0, int(written) - entries)

    async def reclaim(self) -> list[Reclaimed]:
        """Takes back the jobs whose lease has expired. A job that has lost too many workers fails.

        To be called again and again: a lease expires if no call saw it renewed for its whole time. Time in
        which Redis could not be reached does not count.
        """
        lost = []
        try:
            leases = [
                Lease(job_id, token, beat, int(milliseconds) / 1000, worker, int(limit))
                for job_id, token, beat, milliseconds, worker, limit in await self._call("leases")
            ]
            for lease in self._leases.expired(leases):
                outcomes = after_lost_worker(lease.worker, lease.time_limit_seconds).to_json()
                if state := await self._call("reclaim", lease.job_id, lease.token, lease.beat, outcomes):
                    lost.append(Reclaimed(lease.job_id, JobState(state), lease.worker))
        except RedisError:
            self._leases.forget()
            raise
        return lost

    async def stop_overtime(self) -> list[str]:
        """Asks the jobs to stop that have used up their time limit. Returns their ids."""
        stopped: list[str] = await self._call("overtime", TIME_LIMIT_REACHED, TIME_LIMIT_MESSAGE)
        return stopped

    async def delete_expired(self) -> int:
        """Deletes some of the records whose time of deletion has passed. Returns how many."""
        return int(await self._call("expire"))

    async def overview(self) -> Overview:
        """Returns all jobs in numbers, for metrics."""
        counts, totals, oldest_seconds, expired, held = await self._call("overview")
        by_kind: dict[tuple[str, JobState], int] = {}
        for name, number in zip(counts[::2], counts[1::2], strict=True):
            kind, _, state = name.partition(":")
            if state in JobState.__members__:
                by_kind[kind, JobState(state)] = int(number)
        running = tuple(
            HeldJob(job_id, kind, _progress(progress), float(idle), json.loads(config))
            for job_id, kind, progress, idle, config in held
        )
        all_totals = Totals.from_hash(dict(zip(totals[::2], totals[1::2], strict=True)))
        return Overview(by_kind, float(oldest_seconds), int(expired), running, all_totals)

    async def workers(self) -> list[Worker]:
        """Returns the workers with a recent heartbeat."""
        return [
            Worker(name, Resources(int(threads), int(gpus)))
            for name, threads, gpus in await self._call("workers")
        ]


def _event_place(event_id: str) -> tuple[int, ...]:
    """Returns the sort key of an event id: later events have higher keys."""
    return tuple(map(int, event_id.split("-")))


def _progress(text: str) -> Progress | None:
    try:
        return from_fields(Progress, values) if (values := json.loads(text)) else None
    except _BAD_RECORD:
        return None


def _readable_job(record: Any) -> Job | None:
    """Returns the job of a record; None if this release cannot read it, so that the others are listed."""
    try:
        return _job(record)
    except _BAD_RECORD as error:
        log.warning("record skipped", extra={"error": str(error)})
        return None


def _job(record: Any) -> Job:
    flat, artefacts, rank = record
    return Job.from_record(dict(zip(flat[::2], flat[1::2], strict=True)), artefacts, rank)
