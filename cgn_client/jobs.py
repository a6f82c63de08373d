"""The client's half for jobs: queue them, look, watch, stop, take up again, and fetch what they made."""

import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from cgn_api.v1 import trainer_pb2 as pb
from cgn_client.composites import number_of
from cgn_client.errors import CgnError, bad_value, clear_errors
from cgn_client.fields import made, put

JobKind = Literal[
    "train_cgn",
    "train_classifier",
    "reproduce_cell",
    "train_imagenet",
    "train_ensemble",
    "evaluate_classifier",
    "generate_dataset",
    "import_weights",
    "train_biggan",
    "train_saliency",
    "start_imagenet",
    "find_failures",
    "miniature_cell",
    "imagenet_cell",
]
State = Literal["pending", "running", "cancelling", "succeeded", "failed", "cancelled"]
EventKind = Literal["state_change", "progress", "artefact", "log_line"]

# What tells one job from another at a glance, of the kinds that have it.
_TELLING = (
    "model_name",
    "dataset",
    "variant",
    "method",
    "row",
    "cell",
    "classifier",
    "file",
    "steps",
    "images_seen",
    "images",
)
_BACK_SECONDS = 1.0  # between two tries to reach a server that has gone
# After so long a stream is asked for anew from where it was: one that says nothing may have been lost.
_STREAM_SECONDS = 60.0


class JobCalls:
    """The methods of Client that ask the trainer. Every one raises CgnError."""

    _timeout: float
    _trainer: Any
    _closed: bool

    def submit(
        self,
        kind: JobKind,
        *,
        job_id: str = "",
        job_labels: Mapping[str, str] | None = None,
        cpu_threads: int | None = None,
        gpus: int | None = None,
        priority: int | None = None,
        time_limit_seconds: int | None = None,
        keep_days: int | None = None,
        request_id: str = "",
        validate_only: bool = False,
        **spec: Any,
    ) -> pb.Job:
        """Queues a job: `submit("train_cgn", model_name="digits", dataset="colored_mnist", steps=500)`.

        The answer has the whole spec, defaults and all; describe() tells it in a line.

        job_id: of your choice; empty: the server's. job_labels: to find it by. spec: fields of the kind's
        message, such as TrainCgnSpec; those left out take the server's defaults. request_id: a UUID that
        makes a repeated call harmless; empty: a fresh one. validate_only: only check, and return the spec
        with all defaults.
        """
        message = pb.JobSpec(labels=_labels("spec.labels", job_labels))
        for name, value in (("cpu_threads", cpu_threads), ("gpus", gpus)):
            put(message.resources, name, value, f"spec.resources.{name}")
        scalars = {"priority": priority, "time_limit_seconds": time_limit_seconds, "keep_days": keep_days}
        for name, value in scalars.items():
            put(message, name, value, f"spec.{name}")
        _fill(message, kind, spec)
        request = pb.SubmitJobRequest(spec=message)
        made(request, request_id=_request_id(request_id), validate_only=validate_only, job_id=job_id)
        return self._job(self._trainer.SubmitJob, request)

    def get_job(self, job_id: str) -> pb.Job:
        """A job as it stands."""
        return self._job(self._trainer.GetJob, made(pb.GetJobRequest(), job_id=job_id))

    def list_jobs(
        self,
        states: Sequence[State] = (),
        *,
        kinds: Sequence[JobKind] = (),
        job_labels: Mapping[str, str] | None = None,
        parent: str = "",
        owner: str = "",
    ) -> list[pb.Job]:
        """Every job that is in one of these states, of one of these kinds, with all of these labels, and so
        on, newest first; what is empty does not bind."""
        jobs: list[pb.Job] = []
        if isinstance(states, str):
            raise bad_value("states", f"{states!r} is a single one; give a list")
        numbers = [number_of(pb.JobState, "states", "JOB_STATE_", name) for name in states]
        request = pb.ListJobsRequest(states=numbers, kinds=kinds, labels=_labels("labels", job_labels))
        made(request, parent=parent, owner=owner)
        with clear_errors():
            while True:
                answer = self._trainer.ListJobs(request, timeout=self._timeout)
                jobs += answer.jobs
                request.page_token = answer.next_page_token
                if not request.page_token:
                    return jobs

    def cancel(self, job_id: str) -> pb.Job:
        """Asks a job to stop; it keeps its last checkpoint."""
        return self._job(self._trainer.CancelJob, made(pb.CancelJobRequest(), job_id=job_id))

    def resume(self, job_id: str, *, new_job_id: str = "", request_id: str = "") -> pb.Job:
        """Queues a job that goes on from the last checkpoint of a failed or cancelled one."""
        request = pb.ResumeJobRequest()
        made(request, job_id=job_id, new_job_id=new_job_id, request_id=_request_id(request_id))
        return self._job(self._trainer.ResumeJob, request)

    def retry(self, job_id: str, *, new_job_id: str = "", request_id: str = "") -> pb.Job:
        """Queues a job that does the same as an ended one, from the beginning."""
        request = pb.RetryJobRequest()
        made(request, job_id=job_id, new_job_id=new_job_id, request_id=_request_id(request_id))
        return self._job(self._trainer.RetryJob, request)

    def delete_job(self, job_id: str) -> None:
        """Forgets an ended job, its log and its files; models that it published stay."""
        request = made(pb.DeleteJobRequest(), job_id=job_id)
        with clear_errors():
            self._trainer.DeleteJob(request, timeout=self._timeout)

    def watch(
        self,
        job_id: str,
        after_event_id: str = "",
        *,
        kinds: Sequence[EventKind] = (),
        patience: float = 300.0,
    ) -> Iterator[pb.JobEvent]:
        """A job's events, the past ones first (those after `after_event_id`), until the job has ended.

        kinds: only these; none given: all. patience: seconds for which a server that goes away meanwhile is
        waited for; the history goes on without a break then.
        """
        names: dict[str, Any] = {
            name: pb.EventKind.Value(f"EVENT_KIND_{name.upper()}") for name in get_args(EventKind)
        }
        if unknown := [kind for kind in kinds if kind not in names]:
            raise bad_value("kinds", f"{unknown[0]!r} is unknown; use {', '.join(names)}")
        request = pb.WatchJobRequest(kinds=[names[kind] for kind in kinds])
        made(request, job_id=job_id, after_event_id=after_event_id)
        give_up_at = time.monotonic() + patience
        while True:
            try:
                with clear_errors():
                    call = self._trainer.WatchJob(request, timeout=_STREAM_SECONDS)
                    try:
                        for event in call:
                            give_up_at = time.monotonic() + patience
                            request.after_event_id = event.event_id
                            yield event
                        return
                    finally:
                        call.cancel()  # a watcher who stops early leaves no stream behind
            except CgnError as error:
                if error.code == "DEADLINE_EXCEEDED":
                    give_up_at = time.monotonic() + patience
                    continue
                # A server that goes away may cancel its streams.
                gone = error.code in ("UNAVAILABLE", "CANCELLED") and not self._closed
                never_heard = not request.after_event_id
                if not gone or never_heard or time.monotonic() >= give_up_at:
                    raise
                time.sleep(_BACK_SECONDS)

    def tail(self, job_id: str, *, patience: float = 300.0) -> Iterator[str]:
        """The lines of a job's log, the past ones first, until the job has ended. patience: see watch()."""
        for event in self.watch(job_id, kinds=["log_line"], patience=patience):
            if event.HasField("log_line"):
                yield event.log_line

    def fetch(self, job_id: str, path: str, target: str | os.PathLike[str]) -> pb.Artefact:
        """Writes a job's file, by the path that the job's artefacts have, to `target`, and says what it is.

        The file is there when all of it has come and its digest is right, else CgnError (DATA_LOSS).
        """
        target = Path(target)
        scratch = target.with_name(f".{target.name}.part")
        request = made(pb.GetArtifactRequest(), job_id=job_id, path=path)
        artefact, digest = pb.Artefact(), hashlib.sha256()
        try:
            with scratch.open("wb") as file, clear_errors():
                for part in self._trainer.GetArtifact(request):
                    if part.HasField("artefact"):
                        artefact = part.artefact
                    digest.update(part.data)
                    file.write(part.data)
            if artefact.digest != f"sha256:{digest.hexdigest()}":
                raise CgnError(
                    "DATA_LOSS", "ARTEFACT_CHANGED", f"{path} has changed while it came; ask again"
                )
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
        return artefact

    def _job(self, method: Any, request: Any) -> pb.Job:
        with clear_errors():
            job: pb.Job = method(request, timeout=self._timeout)
        return job


def state_of(job: pb.Job) -> State:
    """A job's state as a word, as list_jobs() takes it."""
    word: State = pb.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()  # type: ignore[assignment]
    return word


def describe(job: pb.Job) -> str:
    """One line of what a job is to do, such as "job 1f0e: train_cgn, model_name digits, steps 500"."""
    kind = job.spec.WhichOneof("kind")
    if kind is None:
        return f"job {job.job_id}, of a kind that this client does not know"
    told: dict[str, Any] = {field.name: value for field, value in getattr(job.spec, kind).ListFields()}
    words = [kind, *(f"{name} {told[name]}" for name in _TELLING if told.get(name))]
    return (f"job {job.job_id}: " if job.job_id else "") + ", ".join(words)


def _request_id(given: str) -> str:
    return given or str(uuid.uuid4())


def _labels(field: str, given: Mapping[str, str] | None) -> Mapping[str, str]:
    for key, value in (given or {}).items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise bad_value(field, f"must be texts by texts, has {key!r:.40}: {value!r:.40}")
    return given or {}


def _fill(message: pb.JobSpec, kind: JobKind, fields: Mapping[str, Any]) -> None:
    if kind not in get_args(JobKind):
        raise bad_value("kind", f"{kind!r} is unknown; use {', '.join(get_args(JobKind))}")
    spec: Any = getattr(message, kind)
    spec.SetInParent()  # so that a spec of defaults alone still says its kind
    known = [field.name for field in spec.DESCRIPTOR.fields]
    for name, value in fields.items():
        field = f"spec.{kind}.{name}"
        if name not in known:
            raise bad_value(field, f"is no field; the fields are {', '.join(known)}")
        put(spec, name, value, field)
