"""Maps the exceptions of the job queue to statuses of the API."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from redis.exceptions import ConnectionError, TimeoutError

from common.redis import absent
from services.errors import ApiError
from services.trainer.artefacts import NoArtefact
from trainer.jobs.errors import (
    CheckpointNeeded,
    Interrupted,
    JobIdTaken,
    NotEnded,
    ParentDeleted,
    RequestedJobDeleted,
    RequestIdReused,
    TooManyQueuedJobs,
    UnknownJob,
)

_EXISTS = grpc.StatusCode.ALREADY_EXISTS


@contextmanager
def clear_statuses(jobs_url: str) -> Iterator[None]:
    """Raises ApiError in place of the queue's exceptions. jobs_url: URL of its Redis, for the message."""
    try:
        yield
    except UnknownJob as error:
        raise ApiError(
            grpc.StatusCode.NOT_FOUND,
            "JOB_NOT_FOUND",
            f'job_id: there is no job "{str(error)[:64]}"; ListJobs lists them',
        ) from None
    except NoArtefact as error:
        raise ApiError(grpc.StatusCode.NOT_FOUND, "ARTEFACT_NOT_FOUND", f"path: {error}") from None
    except RequestIdReused as error:
        message = f"was used by another request, for job {error.job_id}; use a new UUID for a new job"
        raise ApiError(_EXISTS, "REQUEST_ID_REUSED", f"request_id: {message}") from None
    except RequestedJobDeleted as error:
        message = f"was used for job {error.job_id}, which has been deleted; use a new UUID for a new job"
        raise ApiError(_EXISTS, "REQUEST_ID_REUSED", f"request_id: {message}") from None
    except JobIdTaken as error:
        message = f"a job {error.job_id} exists, or its files are still being removed; choose another id"
        raise ApiError(_EXISTS, "JOB_EXISTS", f"job_id: {message}") from None
    except ParentDeleted as error:
        raise ApiError(
            grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND", f"job_id: job {error.job_id} was deleted meanwhile"
        ) from None
    except TooManyQueuedJobs as error:
        raise ApiError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "TOO_MANY_QUEUED_JOBS",
            f"{error.queued} jobs of yours are queued, and no more are allowed (CGN_MOST_QUEUED_JOBS of the "
            "trainer service); wait until one begins, or cancel one",
            retry_seconds=60.0,
        ) from None
    except NotEnded as error:
        raise ApiError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "JOB_NOT_ENDED",
            f"job_id: the job is {error.state}; wait for its end, or cancel it",
        ) from None
    except CheckpointNeeded as error:
        raise ApiError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "JOB_NEEDED",
            f"job_id: job {error.dependent} resumes from its checkpoint and has not ended; cancel that job, "
            "or wait for its end",
        ) from None
    except Interrupted:
        raise ApiError(
            grpc.StatusCode.UNAVAILABLE,
            "SHUTTING_DOWN",
            "the trainer service is shutting down; retry when it is back, and watch on from the last event",
            retry_seconds=2.0,
        ) from None
    except (ConnectionError, TimeoutError) as error:
        raise ApiError(
            grpc.StatusCode.UNAVAILABLE,
            "JOBS_REDIS_UNAVAILABLE",
            absent(jobs_url, "CGN_JOBS_URL", error),
            retry_seconds=2.0,
        ) from error
