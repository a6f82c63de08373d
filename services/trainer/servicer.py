"""The methods of TrainerService. Each checks its request, asks the queue, and answers."""

import asyncio
import base64
import logging
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from celery import Celery  # type: ignore[import-untyped]
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError, RedisError, TimeoutError

from cgn_api.v1 import trainer_pb2 as pb
from cgn_api.v1 import trainer_pb2_grpc as pb_grpc
from common.redis import absent
from services.errors import ApiError, invalid
from services.trainer.messages import event_message, job_message, job_state, state_number
from services.trainer.specs import job_spec, spec_message
from trainer.jobs.queue import JOB_ID, Interrupted, JobQueue, OtherSpec, UnknownJob, is_event_id
from trainer.jobs.states import JobState
from trainer.jobs.wakeup import wake

_PAGE = 50
_LARGEST_PAGE = 1000
_LARGEST_ANSWER = 3 * 1024 * 1024  # bytes; a page ends early rather than pass grpc's 4 MiB
_TOKEN = re.compile(r"before:(\d{1,16})")

log = logging.getLogger(__name__)


class TrainerServicer(pb_grpc.TrainerServiceServicer):
    """TrainerService over the jobs in Redis. Without Redis every method ends as UNAVAILABLE."""

    def __init__(
        self, queue: JobQueue, celery: Celery, models_dir: Path, jobs_url: str, draining: asyncio.Event
    ) -> None:
        """models_dir: where jobs find published models. jobs_url: of the queue's Redis, for messages.

        draining: set when the server is to end; it ends the watching of jobs.
        """
        self._queue = queue
        self._celery = celery
        self._models_dir = models_dir
        self._jobs_url = jobs_url
        self._draining = draining

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Any) -> pb.Job:
        request_id = _request_id(request.request_id)
        spec = job_spec(request.spec, self._models_dir)
        if request.validate_only:
            return pb.Job(spec=spec_message(spec))
        with self._asking_redis():
            try:
                job = await self._queue.submit(spec, request_id)
            except OtherSpec as error:
                raise ApiError(
                    grpc.StatusCode.ALREADY_EXISTS,
                    "REQUEST_ID_REUSED",
                    f"request_id: has been used for job {error.job_id}, which has another spec; "
                    "use a new UUID for a new job",
                ) from None
            try:
                await asyncio.to_thread(wake, self._celery)
            except (OperationalError, RedisError) as error:
                # The job is queued all the same, and the sweeper wakes a worker a little later.
                log.warning("no wake-up sent", extra={"job_id": job.job_id, "error": str(error)})
            return job_message(job, await self._queue.workers())

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.Job:
        with self._asking_redis():
            return job_message(await self._queue.get(_job_id(request.job_id)), await self._queue.workers())

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        if request.page_size < 0:
            raise invalid("page_size", f"must be 0 to {_LARGEST_PAGE}, is {request.page_size}")
        size = min(request.page_size, _LARGEST_PAGE) or _PAGE
        before = _before(request.page_token)
        states = _states(list(request.states))
        response = pb.ListJobsResponse()
        with self._asking_redis():
            jobs = await self._queue.page(states, size + 1, before)
            workers = await self._queue.workers()
        answer_bytes = 0
        for place, job in enumerate(jobs[:size], start=1):
            message = job_message(job, workers)
            response.jobs.append(message)
            answer_bytes += message.ByteSize()
            if place < len(jobs) and (place == size or answer_bytes > _LARGEST_ANSWER):
                response.next_page_token = base64.urlsafe_b64encode(b"before:%d" % job.sequence).decode()
                break
        return response

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.Job:
        with self._asking_redis():
            return job_message(await self._queue.cancel(_job_id(request.job_id)), await self._queue.workers())

    async def WatchJob(self, request: pb.WatchJobRequest, context: Any) -> AsyncIterator[pb.JobEvent]:
        if request.after_event_id and not is_event_id(request.after_event_id):
            raise invalid(
                "after_event_id", "must be the event_id of an event of this job, or empty for the first event"
            )
        with self._asking_redis():
            job_id = _job_id(request.job_id)
            async for event in self._queue.events(job_id, request.after_event_id, self._draining):
                yield event_message(event)

    @contextmanager
    def _asking_redis(self) -> Iterator[None]:
        """Gives the queue's errors their statuses."""
        try:
            yield
        except UnknownJob as error:
            raise ApiError(
                grpc.StatusCode.NOT_FOUND,
                "JOB_NOT_FOUND",
                f'job_id: there is no job "{str(error)[:64]}"; ListJobs lists them',
            ) from None
        except Interrupted:
            raise ApiError(
                grpc.StatusCode.UNAVAILABLE,
                "SHUTTING_DOWN",
                "the trainer service is shutting down; watch again, after the last event received, when "
                "it is back",
                retry_seconds=2.0,
            ) from None
        except (ConnectionError, TimeoutError) as error:
            raise ApiError(
                grpc.StatusCode.UNAVAILABLE,
                "JOBS_REDIS_UNAVAILABLE",
                absent(self._jobs_url, "CGN_JOBS_URL", error),
                retry_seconds=2.0,
            ) from error


def _job_id(text: str) -> str:
    """Raises UnknownJob for what cannot be the id of a job."""
    if not text:
        raise invalid("job_id", "must be the id of a job, is empty")
    if not JOB_ID.fullmatch(text):
        raise UnknownJob(text)
    return text


def _request_id(text: str) -> str:
    """The id in its one canonical spelling; empty if there is none."""
    try:
        return str(uuid.UUID(text)) if text else ""
    except ValueError:
        raise invalid("request_id", "must be a UUID or empty") from None


def _before(token: str) -> int | None:
    """Where the page of a token begins."""
    if not token:
        return None
    try:
        match = _TOKEN.fullmatch(base64.urlsafe_b64decode(token).decode())
    except ValueError:
        match = None
    if match is None:
        raise invalid("page_token", "must be next_page_token of the page before, or empty for the first page")
    return int(match[1])


def _states(numbers: list[int]) -> list[JobState]:
    """The states asked for, each once; all if none was named."""
    states = [job_state(number) for number in numbers]
    if None in states:
        allowed = ", ".join(f"JOB_STATE_{state} ({state_number(state)})" for state in JobState)
        bad = numbers[states.index(None)]
        raise invalid(f"states[{states.index(None)}]", f"must be one of {allowed}, is {bad}")
    return [state for state in JobState if not states or state in states]
