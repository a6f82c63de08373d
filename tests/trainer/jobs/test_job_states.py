"""Properties of the table of transitions."""

from cgn_api.v1 import trainer_pb2 as pb
from services.trainer.messages import job_state, state_number
from trainer.jobs.states import TRANSITIONS, JobState


def test_every_state_can_be_reached_and_can_end() -> None:
    reached, ends = {JobState.PENDING}, {state for state in JobState if state.ended}
    for _ in JobState:
        reached |= {to for state in reached for to in TRANSITIONS[state]}
        ends |= {state for state in JobState if TRANSITIONS[state] & ends}
    assert reached == ends == set(JobState)


def test_an_ended_job_does_not_change() -> None:
    ended = {state for state in JobState if state.ended}
    assert ended == {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    assert not any(TRANSITIONS[state] for state in ended)


def test_only_a_held_job_can_succeed_or_fail() -> None:
    for state, targets in TRANSITIONS.items():
        if targets & {JobState.SUCCEEDED, JobState.FAILED}:
            assert state.held


def test_the_api_has_the_same_states() -> None:
    named = {name.removeprefix("JOB_STATE_") for name, _ in pb.JobState.items()} - {"UNSPECIFIED"}
    assert named == set(JobState)
    assert all(job_state(state_number(state)) is state for state in JobState)
    assert job_state(pb.JOB_STATE_UNSPECIFIED) is None
    assert job_state(99) is None
