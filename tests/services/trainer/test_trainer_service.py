"""The trainer service as a process of its own, over gRPC, with a real Redis and worker."""

import math
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from cgn_api.v1 import trainer_pb2 as pb
from common.redis import client
from services.probe import probe
from testing.processes import ModuleProcess, free_port, wait_for
from testing.redis_process import JOBS_FLAGS, LocalRedis
from testing.trainer_process import TrainerProcess
from tests.worker_jobs import worker_of
from trainer.mnist.config import TrainCgnConfig
from trainer.run.directories import artefact_file
from trainer.run.options import stored_options

ENDED = (pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_FAILED, pb.JOB_STATE_CANCELLED)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    with LocalRedis(free_port(), tmp_path_factory.mktemp("redis"), JOBS_FLAGS) as server:
        yield server


@pytest.fixture(scope="module")
def trainer(server: LocalRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerProcess]:
    """A service without workers, so its jobs stay queued."""
    with TrainerProcess(server.url, tmp_path_factory.mktemp("trainer")) as trainer:
        trainer.wait_for_health("SERVING")
        yield trainer


@pytest.fixture
def lone_redis(tmp_path: Path) -> Iterator[LocalRedis]:
    """A Redis of this test's own."""
    with LocalRedis(free_port(), tmp_path / "redis", JOBS_FLAGS) as server:
        yield server


def refused(call: Any) -> tuple[grpc.StatusCode, str, str, list[str]]:
    """Code, reason, message and violated fields of the error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    call_: Any = caught.value
    status = rpc_status.from_call(call_)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    assert info.domain == "cgn"
    assert "\n" not in status.message
    return call_.code(), info.reason, status.message, [v.field for v in bad.field_violations]


def test_reflection_names_the_service_and_its_methods(trainer: TrainerProcess) -> None:
    database = ProtoReflectionDescriptorDatabase(trainer.channel)
    assert "cgn_api.v1.TrainerService" in database.get_services()
    service = DescriptorPool(database).FindServiceByName("cgn_api.v1.TrainerService")
    assert [m.name for m in service.methods] == [
        *("SubmitJob", "GetJob", "ListJobs", "CancelJob", "ResumeJob", "RetryJob", "DeleteJob", "WatchJob"),
        "GetArtifact",
    ]
    assert probe(trainer.address, 3.0) == "SERVING"


def test_validate_only_fills_in_the_defaults_and_queues_nothing(trainer: TrainerProcess) -> None:
    before = trainer.stub.ListJobs(pb.ListJobsRequest()).jobs
    job = trainer.submit(validate_only=True, steps=7, lr_generator=0.5, request_id=str(uuid.uuid4()))
    assert job.job_id == ""
    filled = {field.name: value for field, value in job.spec.train_cgn.ListFields()}
    assert filled == stored_options(TrainCgnConfig(steps=7, lr_generator=0.5))
    assert (job.spec.resources.cpu_threads, job.spec.priority) == (2, 0)
    assert trainer.stub.ListJobs(pb.ListJobsRequest()).jobs == before


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.SubmitJobRequest(), "spec.kind"),
        (pb.SubmitJobRequest(request_id="7"), "request_id"),
        (pb.SubmitJobRequest(spec={"train_cgn": {"steps": 0}}), "spec.train_cgn.steps"),
        (pb.SubmitJobRequest(spec={"train_cgn": {"batch_size": 0}}), "spec.train_cgn.batch_size"),
        (pb.SubmitJobRequest(spec={"train_cgn": {"lr_generator": -1}}), "spec.train_cgn.lr_generator"),
        (pb.SubmitJobRequest(spec={"train_cgn": {"seed": 2**64 - 1}}), "spec.train_cgn.seed"),
        (pb.SubmitJobRequest(spec={"train_cgn": {"dataset": "cifar"}}), "spec.train_cgn.dataset"),
        (pb.SubmitJobRequest(spec={"train_cgn": {"model_name": "a/b"}}), "spec.train_cgn.model_name"),
        (pb.SubmitJobRequest(spec={"train_cgn": {"weight_mask": math.nan}}), "spec.train_cgn.weight_mask"),
        (pb.SubmitJobRequest(spec={"train_classifier": {}}), "spec.train_classifier.model_name"),
        (
            pb.SubmitJobRequest(spec={"train_classifier": {"model_name": "unknown"}}),
            "spec.train_classifier.model_name",
        ),
        (
            pb.SubmitJobRequest(spec={"train_cgn": {}, "resources": {"cpu_threads": 0}}),
            "spec.resources.cpu_threads",
        ),
        (pb.SubmitJobRequest(spec={"train_cgn": {}, "resources": {"gpus": 9}}), "spec.resources.gpus"),
        (pb.SubmitJobRequest(spec={"train_cgn": {}, "priority": -101}), "spec.priority"),
    ],
)
@pytest.mark.parametrize("validate_only", [False, True])
def test_bad_specs_are_refused_by_field(
    trainer: TrainerProcess, request_: pb.SubmitJobRequest, field: str, validate_only: bool
) -> None:
    request_.validate_only = validate_only
    code, reason, message, fields = refused(lambda: trainer.stub.SubmitJob(request_))
    assert (code, reason, fields) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", [field])
    assert message.startswith(f"{field}: must ")


def test_a_request_id_gives_the_same_job_again_and_no_other(trainer: TrainerProcess) -> None:
    request_id = str(uuid.uuid4())
    job = trainer.submit(steps=5, request_id=request_id)
    assert trainer.submit(steps=5, request_id=request_id.upper()) == job
    code, reason, message, _ = refused(lambda: trainer.submit(steps=6, request_id=request_id))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert job.job_id in message


def test_a_queued_job_shows_its_place_and_what_it_waits_for(trainer: TrainerProcess) -> None:
    first, second = trainer.submit(), trainer.submit()
    assert second.state == pb.JOB_STATE_PENDING
    assert second.queue_position == first.queue_position + 1
    assert second.message == "waits for a worker: none is running"
    cancelled = trainer.stub.CancelJob(pb.CancelJobRequest(job_id=first.job_id))
    assert (cancelled.state, cancelled.queue_position) == (pb.JOB_STATE_CANCELLED, 0)
    assert trainer.get(second.job_id).queue_position == first.queue_position
    again = trainer.stub.CancelJob(pb.CancelJobRequest(job_id=first.job_id))
    assert again == cancelled
    states = [event.state_change.state for event in trainer.watch(first.job_id)]
    assert states == [pb.JOB_STATE_PENDING, pb.JOB_STATE_CANCELLED]


def test_lists_come_in_pages(trainer: TrainerProcess) -> None:
    submitted = [trainer.submit().job_id for _ in range(5)]
    listed: list[str] = []
    token = ""
    while True:
        answer = trainer.stub.ListJobs(pb.ListJobsRequest(page_size=2, page_token=token))
        assert 1 <= len(answer.jobs) <= 2
        listed += [job.job_id for job in answer.jobs]
        token = answer.next_page_token
        if not token:
            break
    assert listed[:5] == submitted[::-1]
    assert len(set(listed)) == len(listed)
    everything = trainer.stub.ListJobs(pb.ListJobsRequest(page_size=5000))
    assert [job.job_id for job in everything.jobs] == listed
    done = trainer.stub.ListJobs(pb.ListJobsRequest(states=[pb.JOB_STATE_FAILED]))
    assert (list(done.jobs), done.next_page_token) == ([], "")


def test_other_bad_requests(trainer: TrainerProcess) -> None:
    stub = trainer.stub
    job_id = trainer.submit().job_id
    unspecified: Any = [0]
    unknown: Any = [1, 77]
    bad = [
        (lambda: stub.ListJobs(pb.ListJobsRequest(page_size=-1)), "page_size"),
        (lambda: stub.ListJobs(pb.ListJobsRequest(page_token="7")), "page_token"),
        (lambda: stub.ListJobs(pb.ListJobsRequest(page_token="ü")), "page_token"),
        (lambda: stub.ListJobs(pb.ListJobsRequest(states=unspecified)), "states[0]"),
        (lambda: stub.ListJobs(pb.ListJobsRequest(states=unknown)), "states[1]"),
        (lambda: stub.GetJob(pb.GetJobRequest()), "job_id"),
        (lambda: trainer.watch(job_id, "soon"), "after_event_id"),
        (lambda: trainer.watch(job_id, f"{2**64}-0"), "after_event_id"),
    ]
    for call, field in bad:
        code, _, _, fields = refused(call)
        assert (code, fields) == (grpc.StatusCode.INVALID_ARGUMENT, [field])
    for unknown_id in ("0" * 12, f"{job_id}:events", "*", "x" * 10_000):
        for call in (
            lambda: trainer.get(unknown_id),  # noqa: B023
            lambda: stub.CancelJob(pb.CancelJobRequest(job_id=unknown_id)),  # noqa: B023
            lambda: trainer.watch(unknown_id),  # noqa: B023
        ):
            code, reason, _, _ = refused(call)
            assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    assert trainer.get(job_id).state == pb.JOB_STATE_PENDING


def test_a_job_is_followed_from_submission_to_its_model(lone_redis: LocalRedis, tmp_path: Path) -> None:
    with (
        TrainerProcess(lone_redis.url, tmp_path) as trainer,
        worker_of(trainer, tmp_path / "worker.log") as worker,
    ):
        trainer.wait_for_health("SERVING")
        worker.wait_for_log('"message": "ready"')
        job = trainer.submit(steps=60, checkpoint_every=20)
        metrics: list[dict[str, Any]] = []
        events = []
        for event in trainer.stub.WatchJob(pb.WatchJobRequest(job_id=job.job_id)):
            events.append(event)
            if event.HasField("log_line") or event.HasField("artefact") or event.HasField("progress"):
                metrics.append(trainer.metrics())
        ids = [event.event_id for event in events]
        assert ids == sorted(ids)
        kinds = {event.WhichOneof("event") for event in events}
        assert kinds == {"state_change", "progress", "artefact", "log_line"}
        assert events[-1].state_change.state == pb.JOB_STATE_SUCCEEDED
        assert trainer.watch(job.job_id, ids[4]) == events[5:]
        done = trainer.get(job.job_id)
        assert (done.state, done.model_name) == (pb.JOB_STATE_SUCCEEDED, "my_cgn")
        assert done.model_version == f"job-{job.job_id}"
        assert done.progress.step == done.progress.total_steps == 60
        assert done.create_time.seconds <= done.start_time.seconds <= done.end_time.seconds

        key = (job.job_id, "train_cgn")
        shown = [page for page in metrics if key in page.get("cgn_job_mu_mask", {})]
        assert shown, "no scrape showed the running job"
        assert shown[-1]["cgn_job_mu_mask"][key] == 0.25
        assert shown[-1]["cgn_job_step_seconds"][key] > 0
        assert (job.job_id, "train_cgn", "loss") in shown[-1]["cgn_job_loss"]
        assert shown[-1]["cgn_jobs"]["train_cgn", "RUNNING"] == 1
        assert shown[-1]["cgn_workers"][()] == 1

        def dropped() -> bool:
            page = trainer.metrics()
            return (
                key not in page.get("cgn_job_mu_mask", {}) and page["cgn_jobs"]["train_cgn", "SUCCEEDED"] == 1
            )

        wait_for("the job's series to go", dropped)

        large = pb.JobSpec(train_cgn={}, resources={"cpu_threads": 3})
        waiting = trainer.stub.SubmitJob(pb.SubmitJobRequest(spec=large))
        assert waiting.message == (
            "waits for a worker that offers 3 CPU threads and 0 GPUs; those running offer 2 and 0"
        )


def test_cancelling_ends_a_running_job_and_its_watchers(lone_redis: LocalRedis, tmp_path: Path) -> None:
    with TrainerProcess(lone_redis.url, tmp_path) as trainer, worker_of(trainer, tmp_path / "worker.log"):
        trainer.wait_for_health("SERVING")
        job = trainer.submit(steps=10_000, checkpoint_every=10)
        states: list[int] = []
        for event in trainer.stub.WatchJob(pb.WatchJobRequest(job_id=job.job_id)):
            if event.HasField("artefact") and not states.count(pb.JOB_STATE_CANCELLING):
                trainer.stub.CancelJob(pb.CancelJobRequest(job_id=job.job_id))
            if event.HasField("state_change"):
                states.append(event.state_change.state)
        assert states == [
            pb.JOB_STATE_PENDING,
            pb.JOB_STATE_RUNNING,
            pb.JOB_STATE_CANCELLING,
            pb.JOB_STATE_CANCELLED,
        ]
        done = trainer.get(job.job_id)
        last = [artefact.path for artefact in done.artefacts if artefact.kind == "checkpoint"][-1]
        checkpoint = artefact_file(tmp_path / "runs", last)
        assert checkpoint and int(checkpoint.read_text()) >= done.progress.step > 0


def test_many_watch_one_job(trainer: TrainerProcess, server: LocalRedis) -> None:
    def connections(flag: str = "") -> int:
        """Of Redis; with the flag b: those on which a watcher waits for events."""
        return sum(flag in entry["flags"] for entry in redis.client_list())

    with client(server.url) as redis:
        _watch_with_many(trainer, connections)


def _watch_with_many(trainer: TrainerProcess, connections: Callable[..., int]) -> None:
    others = connections("b")
    job = trainer.submit()
    watchers = [trainer.stub.WatchJob(pb.WatchJobRequest(job_id=job.job_id)) for _ in range(150)]
    for watcher in watchers:
        assert next(watcher).state_change.state == pb.JOB_STATE_PENDING
    wait_for("all to watch", lambda: connections("b") == others + 150)
    most = connections()
    for watcher in watchers[:50]:
        watcher.cancel()
    wait_for("50 to be let go", lambda: connections("b") == others + 100 and connections() < most)
    trainer.stub.CancelJob(pb.CancelJobRequest(job_id=job.job_id))
    for watcher in watchers[50:]:
        assert [event.state_change.state for event in watcher] == [pb.JOB_STATE_CANCELLED]
    wait_for("all to be let go", lambda: connections("b") == others)


def test_a_service_that_stops_ends_its_watchers(server: LocalRedis, tmp_path: Path) -> None:
    with TrainerProcess(server.url, tmp_path) as trainer:
        trainer.wait_for_health("SERVING")
        job = trainer.submit()
        watcher = trainer.stub.WatchJob(pb.WatchJobRequest(job_id=job.job_id))
        assert next(watcher).state_change.state == pb.JOB_STATE_PENDING
        trainer.process.send_signal(signal.SIGTERM)
        code, reason, _, _ = refused(lambda: next(watcher))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert trainer.process.wait(40) == 0
        assert "Traceback" not in trainer.log()


def test_a_restarted_service_knows_the_running_jobs(lone_redis: LocalRedis, tmp_path: Path) -> None:
    with TrainerProcess(lone_redis.url, tmp_path) as first, worker_of(first, tmp_path / "worker.log"):
        first.wait_for_health("SERVING")
        job = first.submit(steps=10_000, checkpoint_every=10)
        wait_for("a checkpoint", lambda: first.get(job.job_id).artefacts)
        assert first.stop() == 0
        with TrainerProcess(lone_redis.url, tmp_path) as second:
            second.wait_for_health("SERVING")
            key = (job.job_id, "train_cgn")
            wait_for("the job's series", lambda: key in second.metrics().get("cgn_job_step_seconds", {}))
            assert second.metrics()["cgn_jobs"]["train_cgn", "RUNNING"] == 1
            second.stub.CancelJob(pb.CancelJobRequest(job_id=job.job_id))
            assert second.watch(job.job_id)[-1].state_change.state == pb.JOB_STATE_CANCELLED


@pytest.mark.long
def test_the_service_resumes_the_job_of_a_killed_worker(lone_redis: LocalRedis, tmp_path: Path) -> None:
    with TrainerProcess(lone_redis.url, tmp_path) as trainer:
        trainer.wait_for_health("SERVING")
        with worker_of(trainer, tmp_path / "first.log") as doomed:
            job = trainer.submit(steps=100, checkpoint_every=10)
            wait_for("a checkpoint", lambda: trainer.get(job.job_id).artefacts)
            doomed.kill()
        with worker_of(trainer, tmp_path / "second.log"):
            # No one wakes the second worker but the service's sweeper.
            done = wait_for(
                "the job to end", lambda: now if (now := trainer.get(job.job_id)).state in ENDED else None
            )
            assert (done.state, done.attempt) == (pb.JOB_STATE_SUCCEEDED, 2)


def test_redis_may_be_absent_at_the_start_and_later(tmp_path: Path) -> None:
    port = free_port()
    with TrainerProcess(f"redis://127.0.0.1:{port}/0", tmp_path) as trainer:
        trainer.wait_for_log("set CGN_JOBS_URL")
        trainer.wait_for_health("NOT_SERVING")
        for call in (trainer.submit, lambda: trainer.get("0" * 12), lambda: trainer.watch("0" * 12)):
            code, reason, message, _ = refused(call)
            assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "JOBS_REDIS_UNAVAILABLE")
            assert f"127.0.0.1:{port}" in message
            assert "CGN_JOBS_URL" in message
        assert trainer.submit(validate_only=True).spec.train_cgn.steps > 0
        lines = [line for line in trainer.log().splitlines() if "set CGN_JOBS_URL" in line]
        # Besides, there is one line for each refused RPC.
        assert len([line for line in lines if '"level": "ERROR"' in line]) == 1

        with LocalRedis(port, tmp_path / "redis", JOBS_FLAGS) as server:
            trainer.wait_for_health("SERVING")
            job = trainer.submit()
            watcher = trainer.stub.WatchJob(pb.WatchJobRequest(job_id=job.job_id))
            assert next(watcher).state_change.state == pb.JOB_STATE_PENDING
            server.process.kill()
            code, reason, _, _ = refused(lambda: next(watcher))
            assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "JOBS_REDIS_UNAVAILABLE")
            trainer.wait_for_health("NOT_SERVING")
            assert math.isnan(trainer.metrics()["cgn_workers"][()])
            with LocalRedis(port, tmp_path / "redis", JOBS_FLAGS):
                trainer.wait_for_health("SERVING")
                assert trainer.get(job.job_id) == job
                assert trainer.submit().queue_position == 2
        assert trainer.stop(signal.SIGINT) == 0


def test_a_port_in_use_is_reported_in_one_line(trainer: TrainerProcess, tmp_path: Path) -> None:
    env = trainer.env | {"CGN_TRAINER_METRICS_PORT": str(free_port())}
    with ModuleProcess("services.trainer", log=tmp_path / "second.log", env=env) as second:
        assert second.process.wait(90) == 1
        (line,) = second.log().splitlines()
        assert "CGN_TRAINER_PORT" in line
