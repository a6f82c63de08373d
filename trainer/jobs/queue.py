"""The service's side of the jobs: submit, look, watch, cancel, delete, take back what lost workers held."""

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
_BLOCK_MS = 1000  # one wait for events, and so the longest until a watcher that is to stop does
_EVENTS_PER_READ = 500
_BAD_RECORD = (KeyError, TypeError, ValueError)  # as one of another release may raise

log = logging.getLogger(__name__)

_NOT_SUBMITTED: dict[str, type[NotSubmitted]] = {  # by submit.lua's word
    "reused": RequestIdReused,
    "deleted": RequestedJobDeleted,
    "taken": JobIdTaken,
    "parent_deleted": ParentDeleted,
}


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list; what is empty does not bind."""

    states: Sequence[JobState] = tuple(JobState)
    kinds: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)  # all of them
    parent: str = ""
    owner: str = ""


@dataclass(frozen=True)
class HeldJob:
    """A job that a worker runs, as metrics need it."""

    job_id: str
    kind: str
    progress: Progress | None
    idle_seconds: float  # since its step last changed, or its attempt began
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Overview:
    """All jobs in numbers, and the ones that workers run."""

    counts: dict[tuple[str, JobState], int]  # by kind and state
    oldest_pending_seconds: float  # 0 if none waits
    leases_expired: int
    held: tuple[HeldJob, ...]
    totals: Totals


@dataclass(frozen=True)
class Worker:
    """A live worker and what it offers."""

    name: str  # host:pid
    offer: Resources


@dataclass(frozen=True)
class Reclaimed:
    """A job whose worker was lost."""

    job_id: str
    state: JobState  # it is in now
    worker: str  # that was lost


def is_event_id(text: str) -> bool:
    """Whether a text can be the id of an event."""
    return bool(_EVENT_ID.fullmatch(text)) and all(
        int(part) <= _HIGHEST_EVENT_PART for part in text.split("-")
    )


class JobQueue:
    """Methods raise redis.exceptions.RedisError if Redis cannot be reached; nothing is half done then."""

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
        """Queues a job. A request id used before gives the job of then.

        job_id: empty: a new one. owner: who submits it. most_queued: queued jobs that an owner may have; 0:
        any number. Raises NotSubmitted or TooManyQueuedJobs.
        """
        request = json.dumps([spec.fields(), job_id, dataclasses.astuple(lineage)])
        digest = hashlib.blake2b(request.encode(), digest_size=16).hexdigest()
        fields = [text for pair in spec.fields().items() for text in pair]
        about = [str(most_queued), owner, lineage.parent, str(int(lineage.from_checkpoint))]
        new_id = job_id or secrets.token_hex(6)
        outcome, found = await self._call("submit", new_id, request_id, digest, *about, *fields)
        if outcome == "full":
            raise TooManyQueuedJobs(int(found))
        if outcome in _NOT_SUBMITTED:
            raise _NOT_SUBMITTED[outcome](found)
        return await self.get(found)

    async def has_seen(self, request_id: str) -> bool:
        """Whether a request of this id has queued a job before; of an empty id none has."""
        return bool(request_id and await self._redis.exists(f"cgn:request:{request_id}"))

    async def is_taken(self, job_id: str) -> bool:
        """Whether there is a job of this id, or files of one are still being removed."""
        if await self._redis.exists(f"cgn:job:{job_id}"):
            return True
        return bool(await self._redis.sismember("cgn:jobs:rubbish", job_id))

    async def get(self, job_id: str) -> Job:
        """The job as it stands. Raises UnknownJob."""
        found = await self._call("read", job_id)
        if found is None:
            raise UnknownJob(job_id)
        return _job(found)

    async def page(self, job_filter: JobFilter, limit: int, before: int | None = None) -> list[Job]:
        """Jobs, newest first; fewer than the limit only if there are no more that can be read.

        before: only ones with a lower Job.sequence.
        """
        sought = json.dumps(dataclasses.asdict(job_filter))
        bound = "+inf" if before is None else str(before)
        jobs: list[Job] = []
        while bound and len(jobs) < limit:
            bound, found = await self._call("list", bound, limit - len(jobs), sought)
            jobs += [job for flat in found if (job := _readable_job(flat))]
        return jobs

    async def cancel(self, job_id: str) -> Job:
        """Ends a queued job, asks a running one to stop, changes nothing else. Raises UnknownJob."""
        if not await self._call("cancel", job_id, CANCELLED_WHILE_PENDING):
            raise UnknownJob(job_id)
        return await self.get(job_id)

    async def delete(self, job_id: str) -> None:
        """Deletes the record of a job that has ended; its files are to be deleted next.

        Raises UnknownJob, NotEnded or CheckpointNeeded.
        """
        outcome, about = await self._call("delete", job_id)
        if outcome == "unknown":
            raise UnknownJob(job_id)
        if outcome == "not_ended":
            raise NotEnded(JobState(about))
        if outcome == "needed":
            raise CheckpointNeeded(about)

    async def pending_deletion(self) -> list[str]:
        """Forgotten jobs whose files may still be there."""
        found: Any = await self._redis.smembers("cgn:jobs:rubbish")
        return sorted(found)

    async def mark_deleted(self, job_id: str) -> None:
        """Says that the files of a forgotten job are gone: its id may be used again."""
        await self._redis.srem("cgn:jobs:rubbish", job_id)

    async def events(
        self,
        job_id: str,
        after: str = "",
        stop: asyncio.Event | None = None,
        kinds: Collection[str] = EVENT_KINDS,
    ) -> AsyncIterator[Event]:
        """The job's events after the one with this id, as they come, until its end.

        kinds: of EVENT_KINDS, to leave out others. The first event is a Gap if the log does not reach back
        to where this begins. Raises UnknownJob, and Interrupted about a second after `stop` was set.
        """
        key, last = f"cgn:job:{job_id}", after or "0-0"
        if dropped := await self._dropped(job_id, last):
            yield Event(last, Gap(dropped))
        while True:
            # Asked before the log is read: a job that had ended by now has all its events in there.
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
                    log.debug("event passed over", extra={"job_id": job_id, "error": str(error)})
                    continue
                yield Event(last, body)
            if ended and not entries:
                return

    async def _dropped(self, job_id: str, after: str) -> int:
        """How many of a log's first events are no longer kept; 0 if none of those came after that event."""
        written, kept, first = await self._call("log_extent", job_id)
        reaches_back = first and _event_place(first) <= _event_place(after)
        return 0 if reaches_back else max(0, int(written) - kept)

    async def reclaim(self) -> list[Reclaimed]:
        """Takes back the jobs whose lease has run out; one that lost too many workers fails.

        Call it again and again: a lease has run out if nobody has renewed it for its whole time while this
        looked on. Time in which Redis could not be reached does not count.
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
        """Asks the jobs to stop that have run for as long as they may; their ids."""
        stopped: list[str] = await self._call("overtime", TIME_LIMIT_REACHED, TIME_LIMIT_MESSAGE)
        return stopped

    async def forget(self) -> int:
        """Removes some of the records of jobs whose days are over, if any; how many."""
        return int(await self._call("expire"))

    async def overview(self) -> Overview:
        counts, totals, waited, expired, held = await self._call("overview")
        by_kind: dict[tuple[str, JobState], int] = {}
        for name, number in zip(counts[::2], counts[1::2], strict=True):
            kind, _, state = name.partition(":")
            if state in JobState.__members__:
                by_kind[kind, JobState(state)] = int(number)
        running = tuple(
            HeldJob(job_id, kind, _progress(progress), float(idle), json.loads(config))
            for job_id, kind, progress, idle, config in held
        )
        so_far = Totals.from_hash(dict(zip(totals[::2], totals[1::2], strict=True)))
        return Overview(by_kind, float(waited), int(expired), running, so_far)

    async def workers(self) -> list[Worker]:
        """The workers that have shown a sign of life lately."""
        return [
            Worker(name, Resources(int(threads), int(gpus)))
            for name, threads, gpus in await self._call("workers")
        ]


def _event_place(event_id: str) -> tuple[int, ...]:
    """Events in order of what this gives are in the order in which they came."""
    return tuple(map(int, event_id.split("-")))


def _progress(text: str) -> Progress | None:
    try:
        return from_fields(Progress, values) if (values := json.loads(text)) else None
    except _BAD_RECORD:
        return None


def _readable_job(found: Any) -> Job | None:
    """None for a record that this release cannot read: the others are listed all the same."""
    try:
        return _job(found)
    except _BAD_RECORD as error:
        log.warning("record passed over", extra={"error": str(error)})
        return None


def _job(found: Any) -> Job:
    flat, artefacts, rank = found
    return Job.from_record(dict(zip(flat[::2], flat[1::2], strict=True)), artefacts, rank)
