"""A real trainer process."""

from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import grpc
from prometheus_client.parser import text_string_to_metric_families

from cgn_api.v1 import trainer_pb2 as pb
from cgn_api.v1 import trainer_pb2_grpc as pb_grpc
from services.probe import probe
from testing.processes import ModuleProcess, free_port, wait_for


class TrainerProcess(ModuleProcess):
    """`python -m services.trainer` on free ports."""

    def __init__(self, jobs_url: str, directory: Path, **env: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.worker_env = {
            "CGN_JOBS_URL": jobs_url,
            "CGN_WORKER_METRICS_PORT": str(free_port()),
            "CGN_RUNS_DIR": str(directory / "runs"),
            "CGN_MODELS_DIR": str(directory / "models"),
        }
        ports = {"CGN_TRAINER_PORT": str(self.port), "CGN_TRAINER_METRICS_PORT": str(self.metrics_port)}
        super().__init__("services.trainer", log=directory / "trainer.log", env=self.worker_env | ports | env)
        self.address = f"127.0.0.1:{self.port}"
        self.channel = grpc.insecure_channel(self.address)
        self.stub = pb_grpc.TrainerServiceStub(self.channel)

    def restart(self) -> None:
        """Kills the service and restarts it at the same address."""
        self.kill()
        self.process = ModuleProcess("services.trainer", log=self._log_path, env=self.env).process

    def wait_for_health(self, expected: str) -> None:
        def healthy() -> bool:
            assert self.process.poll() is None, self.log()
            return probe(self.address, 1.0) == expected

        wait_for(f"the trainer to be {expected}", healthy)

    def metrics(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Returns samples by name, and by their label values in the order of the labels' names."""
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as page:
            text = page.read().decode()
        samples: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = tuple(value for _, value in sorted(sample.labels.items()))
                samples.setdefault(sample.name, {})[labels] = sample.value
        return samples

    def submit(self, *, request_id: str = "", validate_only: bool = False, **fields: Any) -> pb.Job:
        spec = pb.JobSpec(train_cgn=pb.TrainCgnSpec(**{"lr_generator": 0.05, **fields}))
        request = pb.SubmitJobRequest(spec=spec, request_id=request_id, validate_only=validate_only)
        job: pb.Job = self.stub.SubmitJob(request)
        return job

    def get(self, job_id: str) -> pb.Job:
        job: pb.Job = self.stub.GetJob(pb.GetJobRequest(job_id=job_id))
        return job

    def watch(self, job_id: str, after: str = "") -> list[pb.JobEvent]:
        return list(self.stub.WatchJob(pb.WatchJobRequest(job_id=job_id, after_event_id=after)))

    def __exit__(self, *error: object) -> None:
        self.channel.close()
        super().__exit__(*error)

    def __enter__(self) -> Self:
        return self
