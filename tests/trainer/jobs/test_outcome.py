"""What becomes of a job at the end of an attempt, in every situation that it may be in."""

import signal

import pytest

from trainer.jobs.outcome import (
    Outcome,
    RunEnd,
    StopReason,
    after_attempt,
    after_lost_worker,
    classify_exit,
    unknown_kind,
    worker_failed,
)
from trainer.jobs.reasons import Reason
from trainer.jobs.states import JobState
from trainer.run.exit_codes import DEFECT, DISK_FULL, FAILED, OUT_OF_MEMORY, STOPPED, SUCCEEDED

LIMIT_OVER = "its time limit of 60 s is over; ResumeJob continues from its checkpoint"
CANCELLED = Outcome(JobState.CANCELLED, "cancelled")
HANDED_BACK = Outcome(JobState.PENDING, "queued again: its worker was stopped")


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (
            RunEnd(SUCCEEDED, result=("my_cgn", "v1")),
            Outcome(JobState.SUCCEEDED, "", None, "my_cgn", "v1"),
        ),
        (
            RunEnd(SUCCEEDED),
            Outcome(JobState.FAILED, "the run ended without a result", Reason.DEFECT),
        ),
        (
            RunEnd(FAILED, error="no such file"),
            Outcome(JobState.FAILED, "no such file", Reason.RUN_ERROR),
        ),
        (
            RunEnd(DEFECT, error="KeyError: 1"),
            Outcome(JobState.FAILED, "KeyError: 1", Reason.DEFECT),
        ),
        (
            RunEnd(FAILED),
            Outcome(JobState.FAILED, "exit code 1; its last lines are in its log.txt", Reason.DEFECT),
        ),
        (RunEnd(STOPPED, stop_reason=StopReason.CANCEL), CANCELLED),
        (RunEnd(STOPPED, stop_reason=StopReason.LEAVE), HANDED_BACK),
        (RunEnd(-signal.SIGKILL, stop_reason=StopReason.LEAVE, killed_after=20.0), HANDED_BACK),
        (
            RunEnd(-signal.SIGKILL, stop_reason=StopReason.CANCEL, killed_after=20.0),
            Outcome(JobState.CANCELLED, "cancelled; it took longer than 20 s to stop and was killed"),
        ),
        # torchrun's own exit code is 1 whatever the run's is.
        (RunEnd(FAILED, reported_code=STOPPED, stop_reason=StopReason.CANCEL), CANCELLED),
    ],
)
def test_the_end_of_a_run_is_classified(end: RunEnd, expected: Outcome) -> None:
    assert classify_exit(end) == expected


def test_lack_of_memory_and_of_space_are_reasons_of_their_own() -> None:
    for end, reason in (
        (RunEnd(41, over_memory=True, memory_mb=400), Reason.OUT_OF_MEMORY),
        (RunEnd(OUT_OF_MEMORY, error="CUDA"), Reason.OUT_OF_MEMORY),
        (RunEnd(DISK_FULL, error="checkpoint"), Reason.DISK_FULL),
    ):
        outcome = classify_exit(end)
        assert (outcome.state, outcome.reason, outcome.lost) == (JobState.FAILED, reason, False)
    assert worker_failed(OSError(28, "No space left on device")).reason is Reason.DISK_FULL
    assert worker_failed(ValueError()).reason is Reason.WORKER_UNFIT
    assert unknown_kind("dance", ["train_cgn"]).reason is Reason.WORKER_UNFIT


def test_a_killed_run_counts_as_a_loss() -> None:
    outcome = classify_exit(RunEnd(-signal.SIGSEGV))
    assert (outcome.state, outcome.reason, outcome.lost) == (JobState.PENDING, Reason.KILLED, True)
    outcomes = after_attempt(outcome, 60)
    assert outcomes.running.message == "queued again: the run was killed by SIGSEGV"
    assert outcomes.running.requeue_cause == "killed"
    too_often = outcomes.lost_too_often
    assert (too_often.state, too_often.reason) == (JobState.FAILED, Reason.KILLED)
    assert too_often.message == "given up: the run was killed by SIGSEGV (3 losses without a new checkpoint)"
    assert outcomes.cancelled.state is JobState.CANCELLED
    assert outcomes.cancelled.message == "cancelled; the run was killed by SIGSEGV"
    assert (outcomes.overtime.state, outcomes.overtime.reason) == (JobState.FAILED, Reason.TIME_LIMIT)


@pytest.mark.parametrize(
    ("outcome", "cancelled", "overtime"),
    [
        (
            Outcome(JobState.FAILED, "it broke", Reason.DEFECT),
            "cancelled; it broke",
            f"{LIMIT_OVER}; it broke",
        ),
        (HANDED_BACK, "cancelled", LIMIT_OVER),
        (CANCELLED, "cancelled", LIMIT_OVER),
    ],
)
def test_a_cancellation_and_a_time_limit_win_over_all_but_success(
    outcome: Outcome, cancelled: str, overtime: str
) -> None:
    outcomes = after_attempt(outcome, 60)
    assert (outcomes.cancelled.state, outcomes.cancelled.message) == (JobState.CANCELLED, cancelled)
    assert (outcomes.overtime.state, outcomes.overtime.message) == (JobState.FAILED, overtime)
    assert outcomes.overtime.reason is Reason.TIME_LIMIT


def test_a_success_stays_one_whatever_happened_meanwhile() -> None:
    outcomes = after_attempt(Outcome(JobState.SUCCEEDED, "stable is v1 now", None, "my_cgn", "v1"), 60)
    for move in (outcomes.running, outcomes.cancelled, outcomes.overtime):
        assert (move.state, move.message) == (JobState.SUCCEEDED, "stable is v1 now")


def test_a_lost_worker_queues_its_job_again_unless_it_was_to_stop() -> None:
    outcomes = after_lost_worker("host:1", 60)
    moves = (outcomes.running, outcomes.lost_too_often, outcomes.cancelled, outcomes.overtime)
    states = [JobState.PENDING, JobState.FAILED, JobState.CANCELLED, JobState.FAILED]
    assert [move.state for move in moves] == states
    assert [move.reason for move in moves] == ["", Reason.WORKERS_LOST, "", Reason.TIME_LIMIT]
    assert all("host:1" in move.message for move in moves)
    assert outcomes.running.requeue_cause == "lost"
