"""The ledger: checks of every job, and of the state at the end, after all faults."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from cgn.card import UNPUBLISHED
from cgn_api.v1 import trainer_pb2 as pb
from tests.chaos.job import MODEL, ChaosJob
from tests.chaos.reference import Weights
from tests.chaos.stack import Stack
from trainer.jobs.states import TRANSITIONS, JobState
from trainer.run.directories import UNFINISHED


def faults_of_job(stack: Stack, job: ChaosJob, expected: Weights) -> list[str]:
    """Returns the failed checks of a job that has ended."""
    final = stack.stub.GetJob(pb.GetJobRequest(job_id=job.job_id))
    wrong = _history(stack, job)
    if final.state != pb.JOB_STATE_SUCCEEDED:
        wrong.append(f"ended as {pb.JobState.Name(final.state)}: {final.message}")
    version = f"job-{job.job_id}"
    if (final.model_name, final.model_version) != (MODEL, version):
        wrong.append(f"published {final.model_name} {final.model_version}, not {MODEL} {version}")
    try:
        weights = Weights.of(stack.models_dir / MODEL / version)
    except (OSError, KeyError, ValueError) as error:
        wrong.append(f"its version cannot be read: {error}")
    else:
        if weights != expected:
            wrong.append(f"weights {weights}, not those of the undisturbed run, {expected}")
    directories = sorted(path.name for path in (stack.runs_dir / job.job_id).iterdir())
    if len(directories) != 1:
        wrong.append(f"left directories {directories}")
    return wrong


def _history(stack: Stack, job: ChaosJob) -> list[str]:
    """Returns the failed checks of the events that the watcher received."""
    wrong = []
    ids = [tuple(map(int, event.event_id.split("-"))) for event in job.events]
    if any(later <= earlier for earlier, later in pairwise(ids)):
        wrong.append("the watcher's events are not in order")
    whole = list(stack.stub.WatchJob(pb.WatchJobRequest(job_id=job.job_id)))
    if whole != job.events:
        wrong.append(f"the watcher received {len(job.events)} events, the log has {len(whole)}")
    states = [
        JobState(pb.JobState.Name(event.state_change.state).removeprefix("JOB_STATE_"))
        for event in whole
        if event.HasField("state_change")
    ]
    for before, after in pairwise(states):
        if after not in TRANSITIONS[before]:
            wrong.append(f"it went from {before} to {after}")
    ends = [state for state in states if state.ended]
    if len(ends) != 1 or not whole[-1].HasField("state_change"):
        wrong.append(f"its terminal states are {ends}")
    step = 0
    for event in whole:
        if event.HasField("state_change"):
            step = 0
        elif event.HasField("progress"):
            if event.progress.step <= step:
                wrong.append(f"step {event.progress.step} was reported twice in one attempt")
            step = event.progress.step
    return wrong


def faults_at_rest(stack: Stack, jobs: Sequence[ChaosJob]) -> list[str]:
    """Returns the failed checks once all jobs have ended, while the stack still runs."""
    wrong = []
    published = sorted(path.name for path in (stack.models_dir / MODEL).iterdir())
    if published != sorted(f"job-{job.job_id}" for job in jobs):
        wrong.append(f"{len(published)} entries beside the models of {len(jobs)} jobs: {published}")
    for root in (stack.runs_dir, stack.models_dir):
        left = [str(path) for pattern in (UNFINISHED, f"{UNPUBLISHED}*") for path in root.rglob(pattern)]
        if left:
            wrong.append(f"temporary files were left: {left}")
    sets = {state: stack.redis.zcard(f"cgn:jobs:{state}") for state in JobState}
    if sets != {state: len(jobs) if state is JobState.SUCCEEDED else 0 for state in JobState}:
        wrong.append(f"jobs by state are {sets}")
    counts: Any = stack.redis.hgetall("cgn:jobs:counts")
    above_zero = {name: number for name, number in counts.items() if number != "0"}
    if above_zero != {"train_cgn:SUCCEEDED": str(len(jobs))}:
        wrong.append(f"jobs are counted as {counts}")
    if waiting := stack.redis.zcard("cgn:jobs:queue"):
        wrong.append(f"{waiting} jobs are in the queue")
    if strangers := stack.strangers():
        wrong.append(f"orphans: {strangers}")
    return wrong
