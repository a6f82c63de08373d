"""The whole stack with real training: cancel and resume, publish and serve."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cgn_api.v1 import trainer_pb2 as jobs_pb
from cgn_client import Client, composite
from common.settings import REPO
from deploy.local import LocalStack
from testing.processes import wait_for

SERVICES = ("redis-jobs", "redis-cache", "generator", "trainer", "worker")
SMALL: dict[str, Any] = {
    "batch_size": 8,
    "train_images": 200,
    "model_name": "fresh",
    "publish_collapsed": True,  # a few steps make no masks
}


@pytest.mark.long
def test_training_is_cancelled_and_resumed_and_its_model_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    with (
        LocalStack(apart=tmp_path, services=SERVICES) as stack,
        Client(stack.address("generator"), stack.address("trainer")) as client,
    ):
        job = client.submit(
            "train_cgn", steps=1_000_000, checkpoint_every=1_000_000, dataset="wildlife_mnist", **SMALL
        )
        for event in client.watch(job.job_id):
            if event.HasField("progress"):
                client.cancel(job.job_id)
        ended = client.get_job(job.job_id)
        assert ended.state == jobs_pb.JOB_STATE_CANCELLED
        (checkpoint,) = [artefact for artefact in ended.artefacts if artefact.kind == "checkpoint"]
        (run_dir,) = (stack.folder("runs") / job.job_id).glob("attempt-*")
        (left,) = run_dir.glob("checkpoint-*.safetensors")
        assert left.name in checkpoint.path
        _resumes(run_dir, step=int(left.stem.removeprefix("checkpoint-")))

        short = client.submit("train_cgn", steps=3, dataset="wildlife_mnist", **SMALL)
        assert [event.event_id for event in client.watch(short.job_id)]
        published = client.get_job(short.job_id)
        assert published.state == jobs_pb.JOB_STATE_SUCCEEDED
        assert [listed.job_id for listed in client.list_jobs()] == [short.job_id, job.job_id]

        def served() -> bool:
            return any(model.version == published.model_version for model in client.list_models())

        wait_for("the generator to serve what the job published", served)
        (result,) = client.generate("fresh", [composite(1, 2, 3, seed=4)])
        assert result.version == published.model_version
        assert result["composite"].shape == (32, 32, 3)


def _resumes(run_dir: Path, step: int) -> None:
    """The command line goes on from the checkpoint that the cancelled job has left."""
    run = subprocess.Popen(
        [sys.executable, "-m", "trainer", "train_cgn", "--config", str(run_dir / "config.json")]
        + ["--run-dir", str(run_dir), "--resume", "--jsonl"],
        cwd=REPO,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout
    said = ""
    while '"progress"' not in said:
        said += run.stdout.readline()
        assert run.poll() is None
    run.send_signal(signal.SIGTERM)
    said += run.communicate(timeout=60)[0]
    assert f"resuming after step {step}" in said
    assert f'"step": {step + 1},' in said
    assert run.returncode == 3
