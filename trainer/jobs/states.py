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
            JobState.PENDING,  # its worker handed it back, or was lost
            JobState.CANCELLING,
            JobState.SUCCEEDED,
            JobState.FAILED,
        }
    ),
    JobState.CANCELLING: frozenset(
        {
            JobState.CANCELLED,
            JobState.FAILED,  # it was not cancelled but had used up its time limit
            JobState.SUCCEEDED,  # the run had ended well, model published, before it heard of the wish
        }
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}
