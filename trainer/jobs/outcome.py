"""Decides what becomes of a job when an attempt ends: after its run, a lost worker, or its time limit.

This module decides state, reason and message. Only Redis knows the situation of a job when it leaves its
worker, because a caller may cancel it at any moment. So Python passes a move for each situation. Then `leave`
in trainer/jobs/lua/common.lua picks one and carries it out atomically.
"""

import json
import signal
from collections.abc import Collection
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Literal

from trainer.jobs.limits import MAX_LOSSES
from trainer.jobs.reasons import Reason
from trainer.jobs.states import JobState
from trainer.run.exit_codes import (
    BAD_OPTIONS,
    DISK_FULL,
    FAILED,
    OUT_OF_MEMORY,
    STOPPED,
    SUCCEEDED,
    disk_is_full,
)

CANCELLED_WHILE_PENDING = "cancelled before it began"
# The limit in seconds takes the place of {limit}, in Python or in overtime.lua.
TIME_LIMIT_REACHED = "its time limit of {limit} s is over"
TIME_LIMIT_MESSAGE = TIME_LIMIT_REACHED + "; ResumeJob continues from its checkpoint"
_SMALLER = "ask for less (a smaller batch) or use a larger machine"
_MAX_MESSAGE = 500  # characters

RequeueCause = Literal["", "lost", "killed", "handed_back"]  # as the metrics name them


class StopReason(Enum):
    """Why a worker asked a run to stop."""

    CANCEL = "cancel"  # a caller cancelled the job, or its time limit is over
    LEAVE = "leave"  # the worker itself is to stop


@dataclass(frozen=True)
class RunEnd:
    """How a run ended.

    Attributes:
        exit_code: of its process; negative: the signal that killed it.
        reported_code: the exit code that the run wrote to its output, if it did. torchrun itself always ends
            with 1 if the run failed.
        result: name and version of the published model, both empty if there is none; None: not reported.
        error: the text of its last line `error: ...`; may be empty.
        stop_reason: why the run was asked to stop, if it was.
        killed_after: grace period in seconds, if the run was killed for exceeding it.
        over_memory: whether it was killed for using more than memory_mb.
        memory_mb: the memory limit in MiB; 0: none.
    """

    exit_code: int
    reported_code: int | None = None
    result: tuple[str, str] | None = None
    error: str = ""
    stop_reason: StopReason | None = None
    killed_after: float | None = None
    over_memory: bool = False
    memory_mb: int = 0


@dataclass(frozen=True)
class Outcome:
    """What becomes of a job that no caller cancelled.

    Attributes:
        state: the state that the job enters.
        message: one line for people; may be empty.
        reason: why the job FAILED; with `lost`, why it will have if it is lost too often.
        model_name, model_version: the published model; empty if there is none.
        lost: the attempt counts as a loss. After limits.MAX_LOSSES losses the job is FAILED.
    """

    state: JobState
    message: str = ""
    reason: Reason | None = None
    model_name: str = ""
    model_version: str = ""
    lost: bool = False


@dataclass(frozen=True)
class Move:
    """A move of a job to a state. The fields are those of Outcome; requeue_cause is set with PENDING only."""

    state: JobState
    message: str
    reason: Reason | Literal[""] = ""
    requeue_cause: RequeueCause = ""


@dataclass(frozen=True)
class Outcomes:
    """What becomes of a job in each situation that it may be in when it leaves its worker."""

    running: Move
    lost_too_often: Move  # it was running, and this was one loss too many
    cancelled: Move  # a caller cancelled it meanwhile
    overtime: Move  # it reached its time limit meanwhile

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def classify_exit(end: RunEnd) -> Outcome:
    """Returns what becomes of a job after its run has ended."""
    code = end.exit_code
    if code > 0 and end.reported_code is not None:
        code = end.reported_code
    if code == SUCCEEDED and end.result is not None:
        return Outcome(JobState.SUCCEEDED, "", None, *end.result)
    reason, why = _failure(code, end)
    if end.stop_reason is StopReason.CANCEL:
        if code == STOPPED:
            return Outcome(JobState.CANCELLED, "cancelled")
        if end.killed_after is not None:
            why = f"it took longer than {end.killed_after:g} s to stop and was killed"
        return Outcome(JobState.CANCELLED, f"cancelled; {why}")
    if code == STOPPED or (end.stop_reason is StopReason.LEAVE and code < 0):
        return Outcome(JobState.PENDING, "queued again: its worker was stopped")
    if reason is Reason.KILLED:  # the killer is not known, and another attempt may succeed
        return Outcome(JobState.PENDING, why, reason, lost=True)
    return Outcome(JobState.FAILED, why, reason)


def _failure(code: int, end: RunEnd) -> tuple[Reason, str]:
    """Returns why a run failed: the reason, and a sentence."""
    if code < 0:
        why = f"the run was killed by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            why += f", as the system does when memory runs out; {_SMALLER}"
        return Reason.KILLED, why
    if end.over_memory and end.reported_code is None:
        return (
            Reason.OUT_OF_MEMORY,
            f"the run took more than the {end.memory_mb} MiB that it may have; {_SMALLER}",
        )
    if code == OUT_OF_MEMORY:
        return Reason.OUT_OF_MEMORY, f"memory ran out: {end.error}; {_SMALLER}"
    if code == DISK_FULL:
        return Reason.DISK_FULL, f"the disk is full: {end.error}; make room, then submit the job again"
    if code == SUCCEEDED:
        return Reason.DEFECT, "the run ended without a result"
    why = end.error or f"exit code {code}; its last lines are in its log.txt"
    explained = code in (FAILED, BAD_OPTIONS) and bool(end.error)
    return (Reason.RUN_ERROR if explained else Reason.DEFECT), why


def unknown_kind(kind: str, known: Collection[str]) -> Outcome:
    """Returns what becomes of a job that its worker cannot run. known: the kinds that it can."""
    kinds = ", ".join(known)
    message = f"its worker knows no jobs of kind {kind}, only {kinds}; update the worker"
    return Outcome(JobState.FAILED, message, Reason.WORKER_UNFIT)


def worker_failed(error: Exception) -> Outcome:
    """Returns what becomes of a job after an error of its worker. Another attempt would end alike."""
    full = isinstance(error, OSError) and disk_is_full(error)
    message = f"its worker could not run it: {type(error).__name__}: {error}"
    return Outcome(JobState.FAILED, message, Reason.DISK_FULL if full else Reason.WORKER_UNFIT)


def after_attempt(outcome: Outcome, time_limit_seconds: int) -> Outcomes:
    """Returns what becomes of a job that its worker releases.

    outcome: what becomes of it if no caller cancels it. time_limit_seconds: of the job.
    """
    why = " ".join(outcome.message.split())[:_MAX_MESSAGE]
    reason: Reason | Literal[""] = outcome.reason or ""
    overtime = TIME_LIMIT_MESSAGE.format(limit=time_limit_seconds)
    too_often = Move(
        JobState.FAILED, f"given up: {why} ({MAX_LOSSES} losses without a new checkpoint)", reason
    )
    if outcome.lost:
        running = Move(JobState.PENDING, f"queued again: {why}", requeue_cause="killed")
    else:
        running = Move(outcome.state, why, reason, "handed_back" if outcome.state is JobState.PENDING else "")
    if outcome.state is JobState.SUCCEEDED:  # the model is published
        return Outcomes(running, too_often, running, running)
    failed = outcome.lost or outcome.state is JobState.FAILED
    if outcome.state is JobState.CANCELLED:
        cancelled = running
    else:
        cancelled = Move(JobState.CANCELLED, f"cancelled; {why}" if failed else "cancelled")
    over = Move(JobState.FAILED, f"{overtime}; {why}" if failed else overtime, Reason.TIME_LIMIT)
    return Outcomes(running, too_often, cancelled, over)


def after_lost_worker(worker: str, time_limit_seconds: int) -> Outcomes:
    """Returns what becomes of a job whose worker has lost its lease."""
    overtime = TIME_LIMIT_MESSAGE.format(limit=time_limit_seconds)
    return Outcomes(
        running=Move(JobState.PENDING, f"queued again: its worker {worker} was lost", requeue_cause="lost"),
        lost_too_often=Move(
            JobState.FAILED,
            f"given up: its worker was lost {MAX_LOSSES} times without a new checkpoint, the last one was "
            f"{worker}; check whether memory ran out there",
            Reason.WORKERS_LOST,
        ),
        cancelled=Move(JobState.CANCELLED, f"cancelled; its worker {worker} was lost meanwhile"),
        overtime=Move(
            JobState.FAILED, f"{overtime}; its worker {worker} was lost meanwhile", Reason.TIME_LIMIT
        ),
    )
