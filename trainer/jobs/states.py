"""The states of a job, and the moves between them. No other move happens."""

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """State of a job. The names are those of the API's enum without its prefix."""

    PENDING = "PENDING"  # queued; no worker holds it
    RUNNING = "RUNNING"  # a worker runs it
    CANCELLING = "CANCELLING"  # asked to stop by a caller or by its time limit, and not stopped yet
    SUCCEEDED = "SUCCEEDED"  # the run ended well
    FAILED = "FAILED"  # the run failed, or could not be carried out
    CANCELLED = "CANCELLED"  # stopped on request; its last checkpoint is kept

    @property
    def ended(self) -> bool:
        return not TRANSITIONS[self]

    @property
    def held(self) -> bool:
        """Whether a worker holds the job and renews its lease."""
        return self in (JobState.RUNNING, JobState.CANCELLING)


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.PENDING: frozenset(
        {
            JobState.RUNNING,  # a worker claimed it
            JobState.CANCELLED,  # a caller cancelled it before a worker claimed it
        }
    ),
    JobState.RUNNING: frozenset(
        {
            JobState.PENDING,  # its worker handed it back or was lost, or the run was killed
            JobState.CANCELLING,  # a caller cancelled it, or its time limit is over
            JobState.SUCCEEDED,  # the run ended well
            JobState.FAILED,  # the run or its worker failed, or too many attempts were lost
        }
    ),
    JobState.CANCELLING: frozenset(
        {
            JobState.CANCELLED,  # the run stopped, failed or was killed, or its worker was lost
            JobState.FAILED,  # the same, and the time limit was the cause of its stop
            JobState.SUCCEEDED,  # the run ended well before the request to stop reached it
        }
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
