"""What becomes of a job after an attempt: from the end of its run to a state and a reason."""

import signal
from dataclasses import dataclass
from enum import Enum

from trainer.jobs.reasons import Reason
from trainer.jobs.states import JobState
from trainer.run.exit_codes import BAD_OPTIONS, DISK_FULL, FAILED, OUT_OF_MEMORY, STOPPED, SUCCEEDED
from trainer.worker import guard
from trainer.worker.output import Output

_LESS = "ask for less (a smaller batch) or use a larger machine"


class Wish(Enum):
    """Why a run was asked to stop."""

    CANCEL = "cancel"  # someone cancelled the job
    LEAVE = "leave"  # this worker is to stop


@dataclass(frozen=True)
class Verdict:
    """What becomes of a job after an attempt."""

    state: JobState
    message: str
    reason: Reason | None = None  # of FAILED, or of what may become that
    model_name: str = ""
    model_version: str = ""
    lost: bool = False  # PENDING, but another such end or two and it is FAILED


def judge(
    code: int, output: Output, wish: Wish | None, *, killed_after: float | None, memory_mb: int
) -> Verdict:
    """What becomes of a job whose run ended with an exit code.

    wish: that the run was asked to stop for. killed_after: the seconds it was given for that, if too few.
    memory_mb: what it might have.
    """
    if code > 0 and output.end is not None:  # torchrun's own exit code is 1 whatever the run's was
        code = output.end
    if code == SUCCEEDED and output.result is not None:
        return Verdict(JobState.SUCCEEDED, "", None, *output.result)
    reason, why = _why(code, output, memory_mb)
    if wish is Wish.CANCEL:
        if code == STOPPED:
            return Verdict(JobState.CANCELLED, "cancelled")
        if killed_after is not None:
            why = f"it took longer than {killed_after:g} s to stop and was killed"
        return Verdict(JobState.CANCELLED, f"cancelled; {why}")
    if code == STOPPED or (wish is Wish.LEAVE and code < 0):
        return Verdict(JobState.PENDING, "queued again: its worker was stopped")
    if reason is Reason.KILLED:  # by whom is not known, and another attempt may fare better
        return Verdict(JobState.PENDING, why, reason, lost=True)
    return Verdict(JobState.FAILED, why, reason)


def _why(code: int, output: Output, memory_mb: int) -> tuple[Reason, str]:
    """Why a run failed that ended with an exit code."""
    if code < 0:
        why = f"the run was killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            why += f", as the system does when memory runs out; {_LESS}"
        return Reason.KILLED, why
    if code == guard.OVER_MEMORY:
        return Reason.OUT_OF_MEMORY, f"the run took more than the {memory_mb} MiB that it may have; {_LESS}"
    if code == OUT_OF_MEMORY:
        return Reason.OUT_OF_MEMORY, f"memory ran out: {output.error}; {_LESS}"
    if code == DISK_FULL:
        return Reason.DISK_FULL, f"the disk is full: {output.error}; make room, then submit the job again"
    if code == SUCCEEDED:
        return Reason.DEFECT, "the run ended without a result"
    why = output.error or f"exit code {code}; its last lines are in its log.txt"
    told = code in (FAILED, BAD_OPTIONS) and bool(output.error)
    return (Reason.RUN_ERROR if told else Reason.DEFECT), why
