"""The API of jobs over gRPC: ids, labels, taking up again, deletion, artefacts, and the client's part."""

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cgn_api.v1 import trainer_pb2 as pb
from cgn_client import CgnError, Client, describe, state_of
from testing.processes import free_port, wait_for
from testing.random_model import publish_random, publish_random_imagenet
from testing.redis_process import JOBS_FLAGS, LocalRedis
from testing.trainer_process import TrainerProcess
from tests.worker_jobs import worker_of

FAST: dict[str, Any] = {"lr_generator": 0.02, "checkpoint_every": 10}


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[TrainerProcess]:
    with (
        LocalRedis(free_port(), tmp_path / "redis", JOBS_FLAGS) as server,
        TrainerProcess(server.url, tmp_path) as trainer,
    ):
        trainer.wait_for_health("SERVING")
        yield trainer


@pytest.fixture
def client(trainer: TrainerProcess) -> Iterator[Client]:
    with Client(trainer=trainer.address) as client:
        yield client


def failed(call: Any) -> CgnError:
    with pytest.raises(CgnError) as caught:
        call()
    return caught.value


def ended(client: Client, job_id: str) -> pb.Job:
    for _ in client.watch(job_id):
        pass
    return client.get_job(job_id)


def test_a_job_is_described_in_one_line_with_its_defaults(client: Client) -> None:
    job = client.submit("train_cgn")
    line = "train_cgn, model_name my_cgn, dataset colored_mnist, steps 14000"
    assert describe(job) == f"job {job.job_id}: {line}"
    assert describe(client.submit("train_cgn", validate_only=True)) == line
    assert describe(client.submit("reproduce_cell")).endswith(": reproduce_cell, variant colored, method cgn")


def test_ids_labels_and_filters(client: Client) -> None:
    job = client.submit("train_cgn", job_id="nightly-1", job_labels={"team": "red"}, keep_days=7)
    assert job.job_id == "nightly-1"
    assert (dict(job.spec.labels), job.spec.keep_days, job.spec.time_limit_seconds) == ({"team": "red"}, 7, 0)
    assert job.owner == "anyone"
    again = failed(lambda: client.submit("train_cgn", job_id="nightly-1"))
    assert (again.code, again.reason) == ("ALREADY_EXISTS", "JOB_EXISTS")
    checked = failed(lambda: client.submit("train_cgn", job_id="nightly-1", validate_only=True))
    assert (checked.code, checked.reason, checked.message) == (again.code, again.reason, again.message)
    assert client.submit("train_cgn", job_id="nightly-2", validate_only=True).job_id == ""
    other = client.submit("train_saliency", job_labels={"team": "red", "run": "2"})
    assert [job.job_id for job in client.list_jobs(job_labels={"team": "red"})] == [other.job_id, job.job_id]
    assert [job.job_id for job in client.list_jobs(kinds=["train_saliency"])] == [other.job_id]
    assert [job.job_id for job in client.list_jobs(["pending"])] == [other.job_id, job.job_id]
    assert client.list_jobs(["failed", "cancelled"]) == [] and state_of(job) == "pending"
    assert client.list_jobs(job_labels={"team": "blue"}) == []
    assert [job.job_id for job in client.list_jobs(owner="anyone")] == [other.job_id, job.job_id]


def test_errors_name_the_wrong_fields(client: Client, trainer: TrainerProcess) -> None:
    job_id = client.submit("train_cgn").job_id
    unknown: Any = [9]
    stub = trainer.stub
    cases = [
        (lambda: client.submit("train_cgn", job_id="Nightly"), "job_id"),
        (lambda: client.submit("train_cgn", job_id="a" * 49), "job_id"),
        (lambda: client.submit("train_cgn", job_labels={"A": "b"}), "spec.labels"),
        (lambda: client.submit("train_cgn", keep_days=0), "spec.keep_days"),
        (lambda: client.submit("generate_dataset"), "spec.generate_dataset.model_name"),
        (lambda: client.submit("generate_dataset", model_name="none"), "spec.generate_dataset.model_name"),
        (lambda: client.submit("import_weights"), "spec.import_weights.file"),
        (lambda: client.submit("import_weights", file="x", u2net="y"), "spec.import_weights.u2net"),
        (
            lambda: client.submit("train_ensemble", train_on="original", members=1),
            "spec.train_ensemble.members",
        ),
        (lambda: client.submit("evaluate_classifier", dataset="folder"), "spec.evaluate_classifier.folder"),
        (lambda: client.list_jobs(job_labels={"A": "b"}), "labels"),
        (lambda: client.list_jobs(kinds=["dream"]), "kinds[0]"),  # type: ignore[list-item]
        (lambda: client.resume("x", new_job_id="A"), "new_job_id"),
        (lambda: client.retry("x", request_id="7"), "request_id"),
        (lambda: client.fetch(job_id, "", "/dev/null"), "path"),
        (lambda: list(client.watch(job_id, kinds=["dream"])), "kinds"),  # type: ignore[list-item]
    ]
    for call, field in cases:
        error = failed(call)
        assert (error.code, [v.field for v in error.violations]) == ("INVALID_ARGUMENT", [field])
    wrong: dict[str, Any] = {"dataset": "cifar", "batch_size": 0, "gpus": 99, "priority": 500, "keep_days": 0}
    all_of_them = failed(lambda: client.submit("train_cgn", validate_only=True, **wrong))
    kind, resources = "spec.train_cgn.", "spec.resources."
    assert [v.field for v in all_of_them.violations] == [
        f"{kind}dataset", f"{kind}batch_size", f"{resources}gpus", "spec.priority", "spec.keep_days",
    ]  # fmt: skip
    with pytest.raises(Exception, match=r"kinds\[0\]: must be one of EVENT_KIND_STATE_CHANGE \(1\)"):
        list(stub.WatchJob(pb.WatchJobRequest(job_id=job_id, kinds=unknown)))
    needs_an_end: list[Callable[[str], object]] = [client.resume, client.retry, client.delete_job]
    for method in needs_an_end:
        assert failed(lambda: method("never")).reason == "JOB_NOT_FOUND"  # noqa: B023
        assert failed(lambda: method(job_id)).reason == "JOB_NOT_ENDED"  # noqa: B023


def test_a_start_of_another_family_is_refused_at_once(client: Client, tmp_path: Path) -> None:
    publish_random(tmp_path / "models", "digits")
    publish_random_imagenet(tmp_path / "models", "zoo")
    error = failed(lambda: client.submit("train_imagenet", start_model="digits", validate_only=True))
    (violation,) = error.violations
    assert violation.field == "spec.train_imagenet.start_model"
    assert violation.description == 'must be of family imagenet, "digits" is of mnist'
    assert client.submit("train_imagenet", start_model="zoo", start_version="v1", validate_only=True)


def test_a_cancelled_job_is_resumed_from_its_checkpoint_and_retried_from_zero(
    client: Client, trainer: TrainerProcess, tmp_path: Path
) -> None:
    with worker_of(trainer, tmp_path / "worker.log"):
        first = client.submit(
            "train_cgn", steps=60, job_labels={"team": "red"}, **FAST | {"lr_generator": 0.1}
        )
        for event in client.watch(first.job_id):
            if event.HasField("artefact"):
                client.cancel(first.job_id)
        checkpoint = [a.path for a in client.get_job(first.job_id).artefacts if a.kind == "checkpoint"][-1]
        client.fetch(first.job_id, checkpoint, tmp_path / "checkpoint")
        steps = int((tmp_path / "checkpoint").read_text())
        assert 10 <= steps < 60

        request_id = str(uuid.uuid4())
        resumed = client.resume(first.job_id, new_job_id="second", request_id=request_id)
        assert (resumed.parent, resumed.from_checkpoint) == (first.job_id, True)
        assert resumed.spec == first.spec
        assert client.resume(first.job_id, new_job_id="second", request_id=request_id).job_id == "second"
        # The files that the new job needs are not deleted under its feet.
        assert failed(lambda: client.delete_job(first.job_id)).reason in ("JOB_NEEDED", "")
        done = ended(client, "second")
        assert (done.state, done.model_version) == (pb.JOB_STATE_SUCCEEDED, "job-second")
        lines = list(client.tail("second"))
        assert any(f"begins at step {steps}," in line for line in lines)
        assert failed(lambda: client.resume("second")).reason == "NOTHING_TO_RESUME"

        retried = client.retry(first.job_id)
        assert (retried.parent, retried.from_checkpoint) == (first.job_id, False)
        assert any("begins at step 0," in line for line in client.tail(retried.job_id))
        assert [job.job_id for job in client.list_jobs(parent=first.job_id)] == [retried.job_id, "second"]

        client.delete_job(first.job_id)
        assert failed(lambda: client.get_job(first.job_id)).reason == "JOB_NOT_FOUND"
        wait_for("its files to go", lambda: not (tmp_path / "runs" / first.job_id).exists())
        assert (tmp_path / "runs" / "second").exists()
        # Its model would be a version that there is already, whether there is still a job of the id or not.
        again = failed(lambda: client.submit("train_cgn", job_id="second"))
        client.delete_job("second")
        wait_for("its files to go", lambda: not (tmp_path / "runs" / "second").exists())
        published = failed(lambda: client.submit("train_cgn", job_id="second"))
        assert again.reason == published.reason == "JOB_EXISTS"
        assert "my_cgn has a version job-second already" in published.message
        checked = failed(lambda: client.submit("train_cgn", job_id="second", validate_only=True))
        assert checked.message == published.message
        assert client.submit("train_saliency", job_id="second").job_id == "second"


def test_a_job_without_a_checkpoint_cannot_be_resumed(client: Client) -> None:
    job = client.submit("train_cgn")
    client.cancel(job.job_id)
    error = failed(lambda: client.resume(job.job_id))
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "NOTHING_TO_RESUME")
    assert client.retry(job.job_id).state == pb.JOB_STATE_PENDING


def test_a_job_stops_at_its_time_limit(client: Client, trainer: TrainerProcess, tmp_path: Path) -> None:
    with worker_of(trainer, tmp_path / "worker.log"):
        job = client.submit("train_cgn", steps=100_000, time_limit_seconds=3, **FAST)
        done = ended(client, job.job_id)
        assert (done.state, done.reason) == (pb.JOB_STATE_FAILED, "TIME_LIMIT")
        assert "its time limit of 3 s is over" in done.message
        resumed = client.resume(job.job_id)
        begins = next(line for line in client.tail(resumed.job_id) if "begins at step" in line)
        assert "begins at step 0," not in begins
        client.cancel(resumed.job_id)


def test_artefacts_are_fetched_as_a_whole_or_not_at_all(
    client: Client, trainer: TrainerProcess, tmp_path: Path
) -> None:
    with worker_of(trainer, tmp_path / "worker.log"):
        job = client.submit("train_cgn", steps=40, **FAST)
        done = ended(client, job.job_id)
    assert done.progress.images_per_second > 0
    by_kind = {artefact.kind: artefact for artefact in done.artefacts}
    checkpoint = by_kind["checkpoint"]
    data = tmp_path.glob(f"runs/{job.job_id}/*/{checkpoint.path.partition('/')[2]}")
    (path,) = data
    assert checkpoint.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    artefact = client.fetch(job.job_id, checkpoint.path, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == path.read_bytes()
    assert (artefact.bytes, artefact.digest, artefact.kind) == (
        checkpoint.bytes,
        checkpoint.digest,
        "checkpoint",
    )
    client.fetch(job.job_id, by_kind["log"].path, tmp_path / "log.txt")
    assert "begins at step 0" in (tmp_path / "log.txt").read_text()

    # Larger than a part, and from the middle on.
    path.write_bytes(bytes(range(256)) * 10_000)
    parts = list(
        trainer.stub.GetArtifact(
            pb.GetArtifactRequest(job_id=job.job_id, path=checkpoint.path, offset=1_500_000)
        )
    )
    assert parts[0].artefact.bytes == 2_560_000
    assert b"".join(part.data for part in parts[1:]) == path.read_bytes()[1_500_000:]
    too_far = pb.GetArtifactRequest(job_id=job.job_id, path=checkpoint.path, offset=2_560_001)
    with pytest.raises(Exception, match="offset: must be 0 to 2560000"):
        list(trainer.stub.GetArtifact(too_far))

    model = failed(lambda: client.fetch(job.job_id, by_kind["model"].path, tmp_path / "model"))
    assert model.reason == "ARTEFACT_NOT_FOUND" and "card.json" in model.message
    client.fetch(job.job_id, by_kind["model"].path + "/card.json", tmp_path / "card.json")
    assert (tmp_path / "card.json").read_text() == "{}"
    (tmp_path / "models" / "secret").write_text("not of this job")
    too_long = f"{by_kind['model'].path}/{'x' * 5000}"
    for bad in (
        too_long,
        "secret",
        "../models/secret",
        f"{by_kind['model'].path}/../../secret",
        "/etc/passwd",
    ):
        error = failed(lambda: client.fetch(job.job_id, bad, tmp_path / "stolen"))  # noqa: B023
        assert (error.code, error.reason) == ("NOT_FOUND", "ARTEFACT_NOT_FOUND")
    path.unlink()
    gone = failed(lambda: client.fetch(job.job_id, checkpoint.path, tmp_path / "gone"))
    assert "no longer exists" in gone.message
    assert not list(tmp_path.glob("*stolen*")) and not list(tmp_path.glob("*gone*"))


def test_events_are_filtered_by_kind(client: Client, trainer: TrainerProcess, tmp_path: Path) -> None:
    with worker_of(trainer, tmp_path / "worker.log"):
        job = client.submit("train_cgn", steps=30, **FAST)
        whole = list(client.watch(job.job_id))
    for kind in ("state_change", "progress", "artefact", "log_line"):
        of_kind = [event for event in whole if event.WhichOneof("event") == kind]
        assert of_kind and list(client.watch(job.job_id, kinds=[kind])) == of_kind
        assert list(client.watch(job.job_id, of_kind[0].event_id, kinds=[kind])) == of_kind[1:]
    two = [event for event in whole if event.WhichOneof("event") in ("artefact", "state_change")]
    assert list(client.watch(job.job_id, kinds=["artefact", "state_change"])) == two


def test_a_watcher_sees_one_history_although_the_service_is_killed(
    client: Client, trainer: TrainerProcess, tmp_path: Path
) -> None:
    with worker_of(trainer, tmp_path / "worker.log"):
        job = client.submit("train_cgn", steps=200, **FAST | {"lr_generator": 0.05})
        seen = []
        restarted = False
        for event in client.watch(job.job_id):
            seen.append(event)
            if event.HasField("artefact") and not restarted:
                restarted = True
                trainer.restart()
        assert restarted
        assert seen == list(client.watch(job.job_id))
        assert seen[-1].state_change.state == pb.JOB_STATE_SUCCEEDED


def test_a_missing_service_is_reported_at_once() -> None:
    began = time.monotonic()
    with Client(trainer=f"127.0.0.1:{free_port()}") as client:
        assert failed(lambda: list(client.watch("x"))).code == "UNAVAILABLE"
    assert time.monotonic() - began < 60


def test_a_callers_queued_jobs_are_limited(tmp_path: Path) -> None:
    with (
        LocalRedis(free_port(), tmp_path / "redis", JOBS_FLAGS) as server,
        TrainerProcess(server.url, tmp_path, CGN_MOST_QUEUED_JOBS="2") as trainer,
        Client(trainer=trainer.address) as client,
    ):
        trainer.wait_for_health("SERVING")
        first = client.submit("train_cgn")
        client.submit("train_cgn")
        error = failed(lambda: client.submit("train_cgn"))
        assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_QUEUED_JOBS")
        assert error.retry_seconds and "CGN_MOST_QUEUED_JOBS" in error.message
        client.submit("train_cgn", validate_only=True)
        client.cancel(first.job_id)
        client.submit("train_cgn")
