"""Why a job failed, in a word that programs can go by; the record's message says it to people."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a job FAILED."""

    RUN_ERROR = "RUN_ERROR"  # the run gave up and its message says what to mend: data, options, masks
    DEFECT = "DEFECT"  # the run came to an end that nobody foresaw; its log has the story
    OUT_OF_MEMORY = "OUT_OF_MEMORY"  # of the machine, of the device, or more than the worker gives a job
    DISK_FULL = "DISK_FULL"  # where runs or models lie
    KILLED = "KILLED"  # again and again, by a signal that this system did not send
    TIME_LIMIT = "TIME_LIMIT"  # it has run for as long as it may
    WORKER_UNFIT = "WORKER_UNFIT"  # the worker knows no such kind, or could not start the run
    WORKERS_LOST = "WORKERS_LOST"  # too many workers were lost with it, without a new checkpoint
