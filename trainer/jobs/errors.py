"""Why the queue of jobs refuses a request. Each class is one cause."""

from trainer.jobs.states import JobState


class UnknownJob(LookupError):
    """No job has this id."""


class NotSubmitted(Exception):
    """Base of the causes for which a job is not queued.

    Attributes:
        job_id: the job that stands in the way.
    """

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id


class RequestIdReused(NotSubmitted):
    """Another request has queued a job with this request id."""


class RequestedJobDeleted(NotSubmitted):
    """This request has queued a job before, and the job was deleted."""


class JobIdTaken(NotSubmitted):
    """Another job has the chosen id, or the files of a deleted one are still to be removed."""


class ParentDeleted(NotSubmitted):
    """The job to resume or to repeat was deleted meanwhile."""


class TooManyQueuedJobs(Exception):
    """The owner has as many PENDING jobs as it may have.

    Attributes:
        queued: how many.
    """

    def __init__(self, queued: int) -> None:
        super().__init__(queued)
        self.queued = queued


class NotEnded(Exception):
    """The request needs a job that has ended.

    Attributes:
        state: the state that the job is in.
    """

    def __init__(self, state: JobState) -> None:
        super().__init__(state)
        self.state = state


class CheckpointNeeded(Exception):
    """Another job resumes from this job's checkpoint, and has not ended.

    Attributes:
        dependent: the id of the other job.
    """

    def __init__(self, dependent: str) -> None:
        super().__init__(dependent)
        self.dependent = dependent


class Interrupted(Exception):
    """The watching of a job was stopped before the job's end."""
