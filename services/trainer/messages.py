"""Jobs and events as messages of the API."""

import dataclasses
from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from cgn_api.v1 import trainer_pb2 as pb
from services.trainer.specs import spec_message
from trainer.jobs.events import Artefact, Event, Gap, LogLine, Progress, StateChange
from trainer.jobs.queue import Worker
from trainer.jobs.record import Job, Resources
from trainer.jobs.states import JobState


def state_number(state: JobState) -> pb.JobState:
    number: pb.JobState = pb.JobState.Value(f"JOB_STATE_{state}")  # type: ignore[assignment]
    return number


def job_state(number: int) -> JobState | None:
    """Returns the state of a number of the API's enum; None for an invalid number."""
    name = pb.JobState.Name(number) if number in pb.JobState.values() else ""
    return JobState.__members__.get(name.removeprefix("JOB_STATE_"))


def job_message(job: Job, workers: Sequence[Worker]) -> pb.Job:
    """Returns the API's message of a job.

    workers: the live workers. If none of them can run a PENDING job, its message says so.
    """
    notes = [job.message] if job.message else []
    if job.state is JobState.PENDING and (note := _why_it_waits(job.spec.resources, workers)):
        notes.append(note)
    message = pb.Job(
        job_id=job.job_id,
        spec=spec_message(job.spec),
        state=state_number(job.state),
        queue_position=job.queue_position,
        attempt=job.attempt,
        worker=job.worker,
        message="; ".join(notes),
        create_time=_timestamp(job.create_time),
        artefacts=[pb.Artefact(**dataclasses.asdict(artefact)) for artefact in job.artefacts],
        model_name=job.model_name,
        model_version=job.model_version,
        parent=job.lineage.parent,
        from_checkpoint=job.lineage.from_checkpoint,
        owner=job.owner,
        reason=job.reason if job.state is JobState.FAILED else "",
    )
    if job.start_time is not None:
        message.start_time.CopyFrom(_timestamp(job.start_time))
    if job.end_time is not None:
        message.end_time.CopyFrom(_timestamp(job.end_time))
    if job.progress is not None:
        message.progress.CopyFrom(_progress(job.progress))
    return message


def event_message(event: Event) -> pb.JobEvent:
    message = pb.JobEvent(event_id=event.event_id, time=_timestamp(event.time))
    match event.body:
        case StateChange(state, text):
            message.state_change.CopyFrom(pb.StateChange(state=state_number(state), message=text))
        case Progress() as progress:
            message.progress.CopyFrom(_progress(progress))
        case Artefact() as artefact:
            message.artefact.CopyFrom(pb.Artefact(**dataclasses.asdict(artefact)))
        case LogLine(line):
            message.log_line = line
        case Gap(dropped):
            message.gap.dropped = dropped
    return message


def _why_it_waits(needs: Resources, workers: Sequence[Worker]) -> str:
    if not workers:
        return "waits for a worker: none is running"
    if any(needs.cpu_threads <= w.offer.cpu_threads and needs.gpus <= w.offer.gpus for w in workers):
        return ""
    offers = sorted({(w.offer.cpu_threads, w.offer.gpus) for w in workers})
    return (
        f"waits for a worker that offers {needs.cpu_threads} CPU threads and {needs.gpus} GPUs; those running"
        " offer " + ", ".join(f"{threads} and {gpus}" for threads, gpus in offers)
    )


def _timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(round(seconds * 1000))
    return stamp


def _progress(progress: Progress) -> pb.Progress:
    return pb.Progress(**dataclasses.asdict(progress))
