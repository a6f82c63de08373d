"""The methods of TrainerService. Each checks its request, calls the queue, and answers."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Any

import grpc
from celery import Celery  # type: ignore[import-untyped]
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from cgn_api.v1 import trainer_pb2 as pb
from cgn_api.v1 import trainer_pb2_grpc as pb_grpc
from common.settings import TrainerSettings
from services.edge.caller import caller
from services.errors import ApiError
from services.trainer import artefacts, requests
from services.trainer.messages import event_message, job_message
from services.trainer.specs import job_spec, published_version, spec_message
from services.trainer.statuses import clear_statuses
from trainer.jobs.errors import JobIdTaken, NotEnded
from trainer.jobs.queue import JobQueue
from trainer.jobs.record import Job, JobSpec, Lineage
from trainer.jobs.states import JobState
from trainer.jobs.wakeup import wake

_MAX_PAGE_BYTES = 3 * 1024 * 1024  # a page ends early to stay below grpc's 4 MiB per message

log = logging.getLogger(__name__)


class TrainerServicer(pb_grpc.TrainerServiceServicer):
    """TrainerService over the jobs in Redis. Every method ends as UNAVAILABLE if Redis cannot be reached."""

    def __init__(
        self, queue: JobQueue, celery: Celery, settings: TrainerSettings, draining: asyncio.Event
    ) -> None:
        """draining: set when the server is to stop; then WatchJob streams end."""
        self._queue = queue
        self._celery = celery
        self._settings = settings
        self._draining = draining

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Any) -> pb.Job:
        request_id = requests.request_id(request.request_id)
        job_id = requests.new_job_id(request.job_id, "job_id")
        spec = job_spec(request.spec, self._settings.paths.models_dir)
        with clear_statuses(self._settings.jobs_url):
            if request.validate_only:
                await self._check_free(job_id, spec, request_id)
                return pb.Job(spec=spec_message(spec))
            return await self._submit(spec, request_id, job_id, Lineage())

    async def ResumeJob(self, request: pb.ResumeJobRequest, context: Any) -> pb.Job:
        request_id = requests.request_id(request.request_id)
        new_id = requests.new_job_id(request.new_job_id, "new_job_id")
        with clear_statuses(self._settings.jobs_url):
            parent = await self._ended(request.job_id)
            if parent.state is JobState.SUCCEEDED:
                raise ApiError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    "NOTHING_TO_RESUME",
                    f"job_id: job {parent.job_id} has succeeded, nothing is left to do; RetryJob repeats it",
                )
            if not any(artefact.kind == "checkpoint" for artefact in parent.artefacts):
                raise ApiError(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    "NOTHING_TO_RESUME",
                    f"job_id: job {parent.job_id} has written no checkpoint; RetryJob begins again",
                )
            lineage = Lineage(parent.job_id, from_checkpoint=True)
            return await self._submit(parent.spec, request_id, new_id, lineage)

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.Job:
        request_id = requests.request_id(request.request_id)
        new_id = requests.new_job_id(request.new_job_id, "new_job_id")
        with clear_statuses(self._settings.jobs_url):
            parent = await self._ended(request.job_id)
            return await self._submit(parent.spec, request_id, new_id, Lineage(parent.job_id))

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.Job:
        with clear_statuses(self._settings.jobs_url):
            return await self._message(await self._queue.get(requests.job_id(request.job_id)))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        size = requests.page_size(request.page_size)
        before = requests.page_begin(request.page_token)
        response = pb.ListJobsResponse()
        with clear_statuses(self._settings.jobs_url):
            jobs = await self._queue.page(requests.job_filter(request), size + 1, before)
            workers = await self._queue.workers()
        answer_bytes = 0
        for place, job in enumerate(jobs[:size], start=1):
            message = job_message(job, workers)
            response.jobs.append(message)
            answer_bytes += message.ByteSize()
            if place < len(jobs) and (place == size or answer_bytes > _MAX_PAGE_BYTES):
                response.next_page_token = requests.page_token(job.sequence)
                break
        return response

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.Job:
        with clear_statuses(self._settings.jobs_url):
            return await self._message(await self._queue.cancel(requests.job_id(request.job_id)))

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Any) -> pb.DeleteJobResponse:
        with clear_statuses(self._settings.jobs_url):
            await self._queue.delete(requests.job_id(request.job_id))
        return pb.DeleteJobResponse()  # the sweeper removes the files

    async def WatchJob(self, request: pb.WatchJobRequest, context: Any) -> AsyncIterator[pb.JobEvent]:
        after = requests.after_event(request.after_event_id)
        kinds = requests.event_kinds(request.kinds)
        with clear_statuses(self._settings.jobs_url):
            job_id = requests.job_id(request.job_id)
            async for event in self._queue.events(job_id, after, self._draining, kinds):
                yield event_message(event)

    async def GetArtifact(
        self, request: pb.GetArtifactRequest, context: Any
    ) -> AsyncIterator[pb.GetArtifactResponse]:
        path = requests.artefact_path(request.path)
        with clear_statuses(self._settings.jobs_url):
            job = await self._queue.get(requests.job_id(request.job_id))
            file = await asyncio.to_thread(artefacts.find, job, path, self._settings.paths)
        try:
            size, digest = await asyncio.to_thread(artefacts.digest, file.path)
            offset = requests.offset_within(request.offset, size)
            artefact = replace(file.artefact, path=path, bytes=size, digest=digest)
            yield pb.GetArtifactResponse(artefact=pb.Artefact(**asdict(artefact)))
            reader = artefacts.parts(file.path, offset, size)
            while part := await asyncio.to_thread(next, reader, b""):
                yield pb.GetArtifactResponse(data=part)
        except OSError as error:
            raise ApiError(
                grpc.StatusCode.ABORTED,
                "ARTEFACT_CHANGED",
                f"path: {path!r:.200} was removed or changed while it was read ({error}); ask again",
            ) from None

    async def _ended(self, job_id: str) -> Job:
        job = await self._queue.get(requests.job_id(job_id))
        if not job.state.ended:
            raise NotEnded(job.state)
        return job

    async def _submit(self, spec: JobSpec, request_id: str, job_id: str, lineage: Lineage) -> pb.Job:
        """Queues a job and wakes a worker."""
        await self._check_free(job_id, spec, request_id)
        job = await self._queue.submit(
            spec,
            request_id,
            job_id=job_id,
            owner=caller().name,
            most_queued=self._settings.most_queued,
            lineage=lineage,
        )
        try:
            await asyncio.to_thread(wake, self._celery)
        except (OperationalError, RedisError) as error:
            # The job is queued, and the sweeper wakes a worker a little later.
            log.warning("no wake-up sent", extra={"job_id": job.job_id, "error": str(error)})
        return await self._message(job)

    async def _check_free(self, job_id: str, spec: JobSpec, request_id: str) -> None:
        """Raises JobIdTaken or ApiError if a job or a model version has the chosen id already."""
        if not job_id or await self._queue.has_seen(request_id):  # the job may be the one of this request
            return
        if await self._queue.is_taken(job_id):
            raise JobIdTaken(job_id)
        target = published_version(spec, job_id, self._settings.paths.models_dir)
        if target and target.exists():
            raise ApiError(
                grpc.StatusCode.ALREADY_EXISTS,
                "JOB_EXISTS",
                f"job_id: {target.parent.name} has a version {target.name} already; choose another id",
            )

    async def _message(self, job: Job) -> pb.Job:
        return job_message(job, await self._queue.workers())
