"""Why a job FAILED, as a word for programs. The message in the job's record is for people."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a job FAILED."""

    RUN_ERROR = "RUN_ERROR"  # the run gave up; its message names what to correct: data, options, masks
    DEFECT = "DEFECT"  # the run ended in an unexpected way; its log has the details
    OUT_OF_MEMORY = (
        "OUT_OF_MEMORY"  # of the machine or the device, or the worker's limit per job was exceeded
    )
    DISK_FULL = "DISK_FULL"  # the disk of the runs or of the models
    KILLED = "KILLED"  # repeatedly, by a signal that this system did not send
    TIME_LIMIT = "TIME_LIMIT"  # it has used up its time limit
    WORKER_UNFIT = "WORKER_UNFIT"  # the worker does not know the kind, or could not start the run
    WORKERS_LOST = "WORKERS_LOST"  # too many of its workers were lost without a new checkpoint in between
