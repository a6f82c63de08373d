"""The client: images from the generator, jobs from the trainer."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Self, get_args

import grpc

from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1 import trainer_pb2 as jobs_pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub
from cgn_api.v1.trainer_pb2_grpc import TrainerServiceStub
from cgn_client.composites import Encoding, Output, encoding_number, output_numbers
from cgn_client.errors import bad_value, clear_errors
from cgn_client.results import Result, results_of

JobKind = Literal["train_cgn", "train_classifier", "reproduce_cell"]


class Client:
    """Talks to a generator and a trainer; connects at the first call. Safe to share among threads.

    Args:
        generator: host:port of GeneratorService.
        trainer: host:port of TrainerService.
        timeout: seconds that a call may take (WatchJob: without limit).

    Every method raises CgnError.
    """

    def __init__(
        self, generator: str = "127.0.0.1:50051", trainer: str = "127.0.0.1:50052", timeout: float = 60.0
    ) -> None:
        self._timeout = timeout
        self._channels = (grpc.insecure_channel(generator), grpc.insecure_channel(trainer))
        self._generator: Any = GeneratorServiceStub(self._channels[0])
        self._trainer: Any = TrainerServiceStub(self._channels[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; running calls are cancelled."""
        for channel in self._channels:
            channel.close()

    def generate(
        self,
        model: str,
        composites: Iterable[pb.Composite],
        outputs: Sequence[Output] = ("composite",),
        *,
        encoding: Encoding = "raw_uint8",
        version: str = "",
    ) -> list[Result]:
        """Images of `composites`, which composite() makes, one Result each in their order.

        `version` empty: the newest. The error of an answer that would pass 4 MiB says how many fit.
        """
        if isinstance(composites, pb.Composite):
            raise bad_value("composites", "is a single one; give a list")
        request = pb.GenerateRequest(
            model=model,
            version=version,
            composites=composites,
            outputs=output_numbers(outputs),
            encoding=encoding_number(encoding),
        )
        with clear_errors():
            return results_of(self._generator.Generate(request, timeout=self._timeout))

    def list_models(self) -> list[pb.Model]:
        """Every served model version, by name, newest first."""
        models: list[pb.Model] = []
        token = ""
        with clear_errors():
            while True:
                request = pb.ListModelsRequest(page_token=token)
                answer = self._generator.ListModels(request, timeout=self._timeout)
                models += answer.models
                token = answer.next_page_token
                if not token:
                    return models

    def get_model(self, model: str, version: str = "") -> pb.Model:
        """One model version; empty: the newest."""
        request = pb.GetModelRequest(model=model, version=version)
        with clear_errors():
            answer: pb.Model = self._generator.GetModel(request, timeout=self._timeout)
        return answer

    def submit(
        self,
        kind: JobKind,
        *,
        cpu_threads: int | None = None,
        gpus: int | None = None,
        priority: int | None = None,
        request_id: str = "",
        validate_only: bool = False,
        **spec: Any,
    ) -> jobs_pb.Job:
        """Queues a job: `submit("train_cgn", dataset="colored_mnist", steps=500)`.

        spec: fields of TrainCgnSpec, TrainClassifierSpec or ReproduceCellSpec; those left out take the
            server's defaults.
        request_id: a UUID that makes a repeated call harmless; empty: a fresh one.
        validate_only: only check, and return the spec with all defaults.
        """
        resources = jobs_pb.Resources(cpu_threads=cpu_threads, gpus=gpus)
        message = jobs_pb.JobSpec(resources=resources, priority=priority)
        _fill(message, kind, spec)
        request = jobs_pb.SubmitJobRequest(
            spec=message, request_id=request_id or str(uuid.uuid4()), validate_only=validate_only
        )
        return self._job(self._trainer.SubmitJob, request)

    def get_job(self, job_id: str) -> jobs_pb.Job:
        """A job as it stands."""
        return self._job(self._trainer.GetJob, jobs_pb.GetJobRequest(job_id=job_id))

    def list_jobs(self, states: Sequence[jobs_pb.JobState] = ()) -> list[jobs_pb.Job]:
        """Every job in these states (none given: in any), newest first."""
        jobs: list[jobs_pb.Job] = []
        token = ""
        with clear_errors():
            while True:
                request = jobs_pb.ListJobsRequest(page_token=token, states=states)
                answer = self._trainer.ListJobs(request, timeout=self._timeout)
                jobs += answer.jobs
                token = answer.next_page_token
                if not token:
                    return jobs

    def cancel(self, job_id: str) -> jobs_pb.Job:
        """Asks a job to stop; it keeps its last checkpoint."""
        return self._job(self._trainer.CancelJob, jobs_pb.CancelJobRequest(job_id=job_id))

    def watch(self, job_id: str, after_event_id: str = "") -> Iterator[jobs_pb.JobEvent]:
        """A job's events, the past ones first (those after `after_event_id`), until the job has ended."""
        request = jobs_pb.WatchJobRequest(job_id=job_id, after_event_id=after_event_id)
        with clear_errors():
            call = self._trainer.WatchJob(request)
            try:
                yield from call
            finally:
                call.cancel()  # a watcher who stops early leaves no stream behind

    def _job(self, method: Any, request: Any) -> jobs_pb.Job:
        with clear_errors():
            job: jobs_pb.Job = method(request, timeout=self._timeout)
        return job


def _fill(message: jobs_pb.JobSpec, kind: JobKind, fields: dict[str, Any]) -> None:
    if kind not in get_args(JobKind):
        raise bad_value("kind", f"{kind!r} is unknown; use {', '.join(get_args(JobKind))}")
    spec: jobs_pb.TrainCgnSpec | jobs_pb.TrainClassifierSpec | jobs_pb.ReproduceCellSpec
    spec = getattr(message, kind)
    spec.SetInParent()  # so that a spec of defaults alone still says its kind
    for name, value in fields.items():
        try:
            setattr(spec, name, value)
        except AttributeError:
            known = ", ".join(field.name for field in spec.DESCRIPTOR.fields)
            raise bad_value(f"spec.{kind}.{name}", f"is no field; the fields are {known}") from None
        except (TypeError, ValueError) as error:
            raise bad_value(f"spec.{kind}.{name}", f"cannot be {value!r}: {error}") from None
