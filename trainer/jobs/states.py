"""The states of a job and the only ways from one to another."""

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """State of a job; the names are those of the API's enum without its prefix."""

    PENDING = "PENDING"  # queued; no worker has it
    RUNNING = "RUNNING"  # a worker runs it
    CANCELLING = "CANCELLING"  # it was asked to stop, or its time is up, and it has not stopped yet
    SUCCEEDED = "SUCCEEDED"  # ended well
    FAILED = "FAILED"  # ended badly
    CANCELLED = "CANCELLED"  # stopped on request; its last checkpoint is kept

    @property
    def ended(self) -> bool:
        return not TRANSITIONS[self]

    @property
    def held(self) -> bool:
        """A worker has the job and renews its lease."""
        return self in (JobState.RUNNING, JobState.CANCELLING)


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.PENDING: frozenset(
        {
            JobState.RUNNING,  # a worker claimed it
            JobState.CANCELLED,  # cancelled before any worker had it
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
