"""The service's side of the jobs: submit, look, watch, cancel, and take back what lost workers held."""

import asyncio
import json
import logging
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from trainer.jobs import scripts
from trainer.jobs.events import Event, Progress, decode, made
from trainer.jobs.record import Job, JobSpec, Resources
from trainer.jobs.states import JobState

JOB_ID = re.compile(r"[0-9a-f]{12}")
_EVENT_ID = re.compile(r"\d{1,20}-\d{1,20}")
_HIGHEST_EVENT_PART = 2**64 - 1
_BLOCK_MS = 1000  # one wait for events, and so the longest until a watcher that is to stop does
_EVENTS_PER_READ = 500
_BAD_RECORD = (KeyError, TypeError, ValueError)  # as one of another release may raise

log = logging.getLogger(__name__)


class UnknownJob(LookupError):
    """There is no job of this id."""


class Interrupted(Exception):
    """The watching of a job was to stop before the job's end."""


class OtherSpec(Exception):
    """The request id has been used for a job with another spec; job_id is that job's."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id


@dataclass(frozen=True)
class HeldJob:
    """A job that a worker runs, as metrics need it."""

    job_id: str
    kind: str
    progress: Progress | None


@dataclass(frozen=True)
class Overview:
    """All jobs in numbers, and the ones that workers run."""

    counts: dict[tuple[str, JobState], int]  # by kind and state
    oldest_pending_seconds: float  # 0 if none waits
    leases_expired: int
    held: tuple[HeldJob, ...]


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
        self._scripts = {
            source: redis.register_script(source)
            for source in (
                scripts.SUBMIT,
                scripts.READ,
                scripts.LIST,
                scripts.CANCEL,
                scripts.RECLAIM,
                scripts.FORGET,
                scripts.OVERVIEW,
                scripts.WORKERS,
            )
        }

    async def _call(self, source: str, *arguments: str | int) -> Any:
        return await self._scripts[source](args=arguments)

    async def submit(self, spec: JobSpec, request_id: str = "") -> Job:
        """Queues a job. A request id used before gives the job of then, or OtherSpec if the specs differ."""
        fields = [text for pair in spec.fields().items() for text in pair]
        answer = await self._call(scripts.SUBMIT, secrets.token_hex(6), request_id, spec.digest(), *fields)
        job_id, agrees = answer
        if not agrees:
            raise OtherSpec(job_id)
        return await self.get(job_id)

    async def get(self, job_id: str) -> Job:
        """The job as it stands. Raises UnknownJob."""
        found = await self._call(scripts.READ, job_id)
        if found is None:
            raise UnknownJob(job_id)
        return _job(found)

    async def page(self, states: Sequence[JobState], limit: int, before: int | None = None) -> list[Job]:
        """Jobs in these states, newest first; before: only ones with a lower Job.sequence."""
        bound = "+inf" if before is None else before
        found = await self._call(scripts.LIST, bound, limit, *states)
        return [job for flat in found if (job := _readable_job(flat))]

    async def cancel(self, job_id: str) -> Job:
        """Ends a queued job, asks a running one to stop, changes nothing else. Raises UnknownJob."""
        if not await self._call(scripts.CANCEL, job_id):
            raise UnknownJob(job_id)
        return await self.get(job_id)

    async def events(
        self, job_id: str, after: str = "", stop: asyncio.Event | None = None
    ) -> AsyncIterator[Event]:
        """The job's events after the one with this id, as they come, until its end.

        Raises UnknownJob, and Interrupted about a second after `stop` was set.
        """
        key, last = f"cgn:job:{job_id}", after or "0-0"
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
                try:
                    body = decode(fields["kind"], fields["data"])
                except _BAD_RECORD as error:
                    log.debug("event passed over", extra={"job_id": job_id, "error": str(error)})
                    continue
                yield Event(last, body)
            if ended and not entries:
                return

    async def reclaim(self) -> list[Reclaimed]:
        """Takes back the jobs whose lease has run out; one that lost too many workers fails."""
        lost = await self._call(scripts.RECLAIM)
        return [Reclaimed(job_id, JobState(state), worker) for job_id, state, worker in lost]

    async def forget(self, after_seconds: int = scripts.RECORD_SECONDS) -> int:
        """Removes some of the records of jobs that ended this long ago, if any; how many."""
        return int(await self._call(scripts.FORGET, after_seconds))

    async def overview(self) -> Overview:
        counts, waited, expired, held = await self._call(scripts.OVERVIEW)
        by_kind: dict[tuple[str, JobState], int] = {}
        for name, number in zip(counts[::2], counts[1::2], strict=True):
            kind, _, state = name.partition(":")
            if state in JobState.__members__:
                by_kind[kind, JobState(state)] = int(number)
        running = tuple(HeldJob(job_id, kind, _progress(progress)) for job_id, kind, progress in held)
        return Overview(by_kind, float(waited), int(expired), running)

    async def workers(self) -> list[Worker]:
        """The workers that have shown a sign of life lately."""
        return [
            Worker(name, Resources(int(threads), int(gpus)))
            for name, threads, gpus in await self._call(scripts.WORKERS)
        ]


def _progress(text: str) -> Progress | None:
    try:
        return made(Progress, values) if (values := json.loads(text)) else None
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
