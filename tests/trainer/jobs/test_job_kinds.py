"""Kinds of job that need no long training, run by the real worker: import, data set, classifiers, scores."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cgn_api.v1 import trainer_pb2 as pb
from cgn_client import Client
from testing.processes import ModuleProcess, free_port
from testing.redis_process import JOBS_FLAGS, LocalRedis
from testing.trainer_process import TrainerProcess
from tests.authors_mnist import random_tensors

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    with (
        LocalRedis(free_port(), folder / "redis", JOBS_FLAGS) as server,
        TrainerProcess(server.url, folder) as trainer,
        ModuleProcess(
            "trainer.worker", log=folder / "worker.log", env=trainer.worker_env | {"CGN_DATA_DIR": ""}
        ),
        Client(trainer=trainer.address) as client,
    ):
        trainer.wait_for_health("SERVING")
        yield client


def done(client: Client, kind: Any, **options: Any) -> pb.Job:
    job = client.submit(kind, cpu_threads=1, **options)
    for _ in client.watch(job.job_id):
        pass
    job = client.get_job(job.job_id)
    assert job.state == pb.JOB_STATE_SUCCEEDED, (job.message, list(client.tail(job.job_id)))
    return job


def result(client: Client, job: pb.Job, kind: str, target: Path) -> dict[str, Any]:
    path = [artefact.path for artefact in job.artefacts if artefact.kind == kind][-1]  # of the whole job
    client.fetch(job.job_id, path, target)
    scores: dict[str, Any] = json.loads(target.read_text())
    return scores


def test_imported_weights_give_a_data_set(client: Client, folder: Path) -> None:
    torch.save(random_tensors(), folder / "ckp.pth")
    options = {"weights": "mnist", "file": str(folder / "ckp.pth"), "dataset": "colored_mnist"}
    imported = done(client, "import_weights", model_name="authors", job_id="import", **options)
    assert (imported.model_name, imported.model_version) == ("authors", "job-import")
    assert imported.message.startswith("stable is ")  # what became of it depends on random masks
    card = json.loads((folder / "models" / "authors" / "job-import" / "card.json").read_text())
    assert card["training"]["config"]["file"] == str(folder / "ckp.pth")
    assert list(card["training"]["imported"]) == [str(folder / "ckp.pth")]

    data = {"model_name": "authors", "images": 40, "shard_images": 20, "format": "webdataset"}
    jobs = [done(client, "generate_dataset", **data) for _ in range(2)]
    digests = [
        {a.path.partition("/")[2]: a.digest for a in job.artefacts if a.kind in ("shard", "dataset")}
        for job in jobs
    ]
    assert digests[0] == digests[1]
    assert set(digests[0]) == {
        "dataset/shard-000000.tar",
        "dataset/shard-000001.tar",
        "dataset/labels.csv",
        "dataset",
    }
    client.fetch(jobs[0].job_id, f"{jobs[0].job_id}/dataset/labels.csv", folder / "labels.csv")
    rows = list(csv.DictReader(io.StringIO((folder / "labels.csv").read_text())))
    assert len(rows) == 40
    tar = f"{jobs[0].job_id}/dataset/{rows[-1]['file']}"
    fetched = client.fetch(jobs[0].job_id, tar, folder / "last.tar")
    assert fetched.digest == f"sha256:{hashlib.sha256((folder / 'last.tar').read_bytes()).hexdigest()}"
    assert jobs[0].progress.images_per_second > 0


def test_an_ensemble_and_its_member_have_the_same_scores(client: Client, folder: Path) -> None:
    short = {"train_on": "original", "images_seen": 320}
    ensemble = done(client, "train_ensemble", members=2, **short)
    together = result(client, ensemble, "scores", folder / "ensemble.json")
    assert len(together["members"]) == 2
    evaluated = done(
        client,
        "evaluate_classifier",
        classifier=f"{ensemble.job_id}/member-01/classifier.safetensors",
    )
    alone = result(client, evaluated, "scores", folder / "alone.json")["scores"]
    member = together["members"][1]
    assert alone == {name: values for name, values in member.items() if name != "train"}


def test_a_missing_file_is_the_reason_of_the_failed_job(client: Client, folder: Path) -> None:
    job = client.submit("import_weights", file=str(folder / "missing.pth"), cpu_threads=1)
    for _ in client.watch(job.job_id):
        pass
    failed = client.get_job(job.job_id)
    assert (failed.state, failed.reason) == (pb.JOB_STATE_FAILED, "RUN_ERROR")
    assert f"there is no file {folder / 'missing.pth'}" in failed.message
