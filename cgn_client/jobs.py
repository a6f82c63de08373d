"""The client's methods for jobs: submit, list, watch, cancel, resume, retry; and fetch their files."""

import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from cgn_api.v1 import trainer_pb2 as pb
from cgn_client.composites import number_of
from cgn_client.errors import CgnError, bad_value, convert_errors
from cgn_client.fields import put, set_fields

# For type checkers; a test compares it with JobSpec in trainer.proto.
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

# Fields of the specs that describe() shows.
_SHOWN = (
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
_KINDS = [field.name for field in pb.JobSpec.DESCRIPTOR.oneofs_by_name["kind"].fields]
_RECONNECT_SECONDS = 1.0  # between two attempts to reach a server
# A stream is reopened after this time, from its last event: a silent stream may have lost its connection.
_STREAM_SECONDS = 60.0


class JobCalls:
    """The methods of Client that call the trainer. Every method raises CgnError."""

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

        Args:
            job_id: name of the job; empty: chosen by the server.
            job_labels: labels to find the job by, see list_jobs().
            cpu_threads, gpus: resources of the job; None: the server's defaults.
            priority: higher runs first.
            time_limit_seconds: the job is stopped after that time.
            keep_days: days until the ended job is deleted.
            request_id: UUID that makes a repeated call idempotent; empty: a new one.
            validate_only: check the spec and return it with all defaults, without queueing a job.
            spec: fields of the kind's message, such as TrainCgnSpec; omitted fields have their defaults.

        Returns the job; its spec contains every default. describe() formats it as one line.
        """
        message = pb.JobSpec(labels=_labels("spec.labels", job_labels))
        for name, value in (("cpu_threads", cpu_threads), ("gpus", gpus)):
            put(message.resources, name, value, f"spec.resources.{name}")
        scalars = {"priority": priority, "time_limit_seconds": time_limit_seconds, "keep_days": keep_days}
        for name, value in scalars.items():
            put(message, name, value, f"spec.{name}")
        _fill(message, kind, spec)
        request = pb.SubmitJobRequest(spec=message)
        set_fields(request, request_id=_request_id(request_id), validate_only=validate_only, job_id=job_id)
        return self._job(self._trainer.SubmitJob, request)

    def get_job(self, job_id: str) -> pb.Job:
        """Returns a job in its current state."""
        return self._job(self._trainer.GetJob, set_fields(pb.GetJobRequest(), job_id=job_id))

    def list_jobs(
        self,
        states: Sequence[State] = (),
        *,
        kinds: Sequence[JobKind] = (),
        job_labels: Mapping[str, str] | None = None,
        parent: str = "",
        owner: str = "",
    ) -> list[pb.Job]:
        """Returns the jobs that match every filter, newest first; an empty filter matches every job.

        states, kinds: the job has one of them. job_labels: the job has all of them. parent: the job that the
        job resumes or retries. owner: name of the caller who submitted the job.
        """
        jobs: list[pb.Job] = []
        if isinstance(states, str):
            raise bad_value("states", f"{states!r} is one state; give a list")
        numbers = [number_of(pb.JobState, "states", "JOB_STATE_", name) for name in states]
        request = pb.ListJobsRequest(states=numbers, kinds=kinds, labels=_labels("labels", job_labels))
        set_fields(request, parent=parent, owner=owner)
        with convert_errors():
            while True:
                answer = self._trainer.ListJobs(request, timeout=self._timeout)
                jobs += answer.jobs
                request.page_token = answer.next_page_token
                if not request.page_token:
                    return jobs

    def cancel(self, job_id: str) -> pb.Job:
        """Asks a job to stop. The job keeps its last checkpoint."""
        return self._job(self._trainer.CancelJob, set_fields(pb.CancelJobRequest(), job_id=job_id))

    def resume(self, job_id: str, *, new_job_id: str = "", request_id: str = "") -> pb.Job:
        """Queues a job that continues from the last checkpoint of a failed or cancelled job."""
        request = pb.ResumeJobRequest()
        set_fields(request, job_id=job_id, new_job_id=new_job_id, request_id=_request_id(request_id))
        return self._job(self._trainer.ResumeJob, request)

    def retry(self, job_id: str, *, new_job_id: str = "", request_id: str = "") -> pb.Job:
        """Queues a job with the spec of an ended job; it starts from the beginning."""
        request = pb.RetryJobRequest()
        set_fields(request, job_id=job_id, new_job_id=new_job_id, request_id=_request_id(request_id))
        return self._job(self._trainer.RetryJob, request)

    def delete_job(self, job_id: str) -> None:
        """Deletes an ended job, its log and its files. Models that the job published stay."""
        request = set_fields(pb.DeleteJobRequest(), job_id=job_id)
        with convert_errors():
            self._trainer.DeleteJob(request, timeout=self._timeout)

    def watch(
        self,
        job_id: str,
        after_event_id: str = "",
        *,
        kinds: Sequence[EventKind] = (),
        patience: float = 300.0,
    ) -> Iterator[pb.JobEvent]:
        """Yields a job's events, past events first, until the job has ended.

        Args:
            after_event_id: yield only later events; empty: all.
            kinds: kinds of events to yield; empty: all.
            patience: seconds to keep trying if the server becomes unreachable. No event is lost or repeated.
        """
        names: dict[str, Any] = {
            name: pb.EventKind.Value(f"EVENT_KIND_{name.upper()}") for name in get_args(EventKind)
        }
        if unknown := [kind for kind in kinds if kind not in names]:
            raise bad_value("kinds", f"{unknown[0]!r} is unknown; use {', '.join(names)}")
        request = pb.WatchJobRequest(kinds=[names[kind] for kind in kinds])
        set_fields(request, job_id=job_id, after_event_id=after_event_id)
        give_up_at = time.monotonic() + patience
        while True:
            try:
                with convert_errors():
                    call = self._trainer.WatchJob(request, timeout=_STREAM_SECONDS)
                    try:
                        for event in call:
                            give_up_at = time.monotonic() + patience
                            request.after_event_id = event.event_id
                            yield event
                        return
                    finally:
                        call.cancel()  # if the reader stops early
            except CgnError as error:
                if error.code == "DEADLINE_EXCEEDED":
                    give_up_at = time.monotonic() + patience
                    continue
                # A server that shuts down may cancel its streams.
                unreachable = error.code in ("UNAVAILABLE", "CANCELLED") and not self._closed
                no_event_yet = not request.after_event_id
                if not unreachable or no_event_yet or time.monotonic() >= give_up_at:
                    raise
                time.sleep(_RECONNECT_SECONDS)

    def tail(self, job_id: str, *, patience: float = 300.0) -> Iterator[str]:
        """Yields the lines of a job's log, past lines first, until the job ends. patience: see watch()."""
        for event in self.watch(job_id, kinds=["log_line"], patience=patience):
            if event.HasField("log_line"):
                yield event.log_line

    def fetch(self, job_id: str, path: str, target: str | os.PathLike[str]) -> pb.Artefact:
        """Downloads a job's file to `target`. path: as in the job's artefacts. Returns the artefact.

        `target` appears only when the file is complete and its digest matches; else CgnError (DATA_LOSS).
        """
        target = Path(target)
        scratch = target.with_name(f".{target.name}.part")
        request = set_fields(pb.GetArtifactRequest(), job_id=job_id, path=path)
        artefact, digest = pb.Artefact(), hashlib.sha256()
        try:
            with scratch.open("wb") as file, convert_errors():
                for part in self._trainer.GetArtifact(request):
                    if part.HasField("artefact"):
                        artefact = part.artefact
                    digest.update(part.data)
                    file.write(part.data)
            if artefact.digest != f"sha256:{digest.hexdigest()}":
                raise CgnError(
                    "DATA_LOSS", "ARTEFACT_CHANGED", f"{path} changed during the download; try again"
                )
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
        return artefact

    def _job(self, method: Any, request: Any) -> pb.Job:
        with convert_errors():
            job: pb.Job = method(request, timeout=self._timeout)
        return job


def state_of(job: pb.Job) -> State:
    """Returns a job's state as a word, such as "running"; list_jobs() accepts the same words."""
    word: State = pb.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()  # type: ignore[assignment]
    return word


def describe(job: pb.Job) -> str:
    """Describes a job in one line, such as "job 1f0e: train_cgn, model_name digits, steps 500"."""
    kind = job.spec.WhichOneof("kind")
    if kind is None:
        return f"job {job.job_id}, of a kind unknown to this client"
    fields: dict[str, Any] = {field.name: value for field, value in getattr(job.spec, kind).ListFields()}
    words = [kind, *(f"{name} {fields[name]}" for name in _SHOWN if fields.get(name))]
    return (f"job {job.job_id}: " if job.job_id else "") + ", ".join(words)


def _request_id(request_id: str) -> str:
    return request_id or str(uuid.uuid4())


def _labels(field: str, labels: Mapping[str, str] | None) -> Mapping[str, str]:
    for key, value in (labels or {}).items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise bad_value(field, f"keys and values must be text, has {key!r:.40}: {value!r:.40}")
    return labels or {}


def _fill(message: pb.JobSpec, kind: JobKind, fields: Mapping[str, Any]) -> None:
    if kind not in _KINDS:
        raise bad_value("kind", f"{kind!r} is unknown; use {', '.join(_KINDS)}")
    spec: Any = getattr(message, kind)
    spec.SetInParent()  # else a spec without fields would have no kind
    known = [field.name for field in spec.DESCRIPTOR.fields]
    for name, value in fields.items():
        field = f"spec.{kind}.{name}"
        if name not in known:
            raise bad_value(field, f"is unknown; the fields are {', '.join(known)}")
        put(spec, name, value, field)
