"""Runs without any service: they train, publish, stop and resume, and refuse what they cannot use."""

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from cgn.store import checkpoint, versions
from common.settings import REPO
from testing.random_model import publish_random
from trainer.mnist.collapse_report import CollapseReport
from trainer.mnist.config import TrainCgnConfig
from trainer.mnist.train import train_cgn
from trainer.run.checkpoints import Checkpoints
from trainer.run.context import RunContext, RunError, StopFlag, Stopped
from trainer.run.exit_codes import DISK_FULL
from trainer.run.provenance import provenance
from trainer.run.report import Reporter

# A few steps train no masks yet.
SMALL: dict[str, Any] = {"batch_size": 4, "train_images": 100, "publish_collapsed": True}
TINY = TrainCgnConfig(steps=8, checkpoint_every=4, sample_every=4, **SMALL)


@pytest.fixture(autouse=True)
def bundled_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    torch.set_num_threads(1)  # batches are tiny, so more threads would only wait for each other


def context(folder: Path, version: str = "v1", *, resume: bool = False) -> RunContext:
    run_dir, models_dir = folder / version, folder / "models"
    run_dir.mkdir(exist_ok=True)
    reporter = Reporter(run_dir, models_dir, jsonl=True)
    return RunContext(run_dir, models_dir, "cpu", version, resume, reporter, StopFlag())


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_cgn_is_trained_and_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = train_cgn(TINY, context(tmp_path))
    model = checkpoint.load(tmp_path / "models", published.model_name)
    assert model.card.trained
    assert model.card.training["command"].startswith("python -m trainer train_cgn --steps 8")
    assert any("bundled subset" in note for note in model.card.notes)
    assert model.card.training["data"]["count"] == 100

    messages = events(capsys.readouterr().out)
    last = [event for event in messages if event["event"] == "progress"][-1]
    assert (last["step"], last["total_steps"]) == (8, 8)
    assert isinstance(last["mu_mask"], float)
    always = {"border_mass", "soft_share", "restarts"}
    assert always | {"generator", "discriminator"} == set(last["values"])  # the shape stage
    logged = events((tmp_path / "v1/metrics.jsonl").read_text())
    assert [entry["step"] for entry in logged][-1] == 8
    assert all("mu_mask" in entry and always <= set(entry["values"]) for entry in logged)
    assert {"adversarial", "binary", "mask", "style"} <= set(logged[0]["values"])  # the joint stage
    lines = [event["line"] for event in messages if event["event"] == "log"]
    stages = [line.split(":")[0] for line in lines if ": training" in line]
    assert stages == ["step 0", "step 3", "step 4"]
    kinds = [event["kind"] for event in messages if event["event"] == "artefact"]
    assert kinds.count("sample_sheet") == 2
    assert kinds.count("checkpoint") == 2
    assert kinds[-2:] == ["collapse_report", "model"]
    assert Image.open(tmp_path / "v1/samples/step-0000008.png").width > 500


@pytest.mark.parametrize("stopped_after", [1, 4, 6])  # in the first stage, the second, the third
def test_a_stopped_run_resumes_to_the_same_weights(tmp_path: Path, stopped_after: int) -> None:
    train_cgn(TINY, context(tmp_path, "whole"))
    first = context(tmp_path, "broken")
    progress = first.reporter.progress

    def stop(step: int, values: dict[str, float], mu_mask: float) -> None:
        progress(step, values, mu_mask)
        first.stop.requested = step == stopped_after

    first.reporter.progress = stop  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        train_cgn(TINY, first)
    # A newer checkpoint that is damaged is not used.
    (first.run_dir / "checkpoint-0000007.safetensors").write_bytes(b"not a checkpoint")
    train_cgn(TINY, context(tmp_path, "broken", resume=True))
    whole, broken = (
        versions.read_card(tmp_path / "models", "my_cgn", version) for version in ("whole", "broken")
    )
    assert broken.digest == whole.digest
    assert broken.training["resumed_at_step"] == stopped_after


def test_a_checkpoint_of_another_config_is_refused(tmp_path: Path) -> None:
    train_cgn(TINY, context(tmp_path, "v1"))
    other = TrainCgnConfig(steps=2, seed=1, model_name="other", **SMALL)
    with pytest.raises(RunError, match="is of a run with other options"):
        train_cgn(other, context(tmp_path, "v1", resume=True))
    assert not (tmp_path / "models/other").exists()


def test_a_run_killed_between_publishing_and_reporting_succeeds_when_resumed(tmp_path: Path) -> None:
    train_cgn(TINY, context(tmp_path))
    again = train_cgn(TINY, context(tmp_path, resume=True))
    assert (again.model_name, again.model_version) == ("my_cgn", "v1")


def test_a_published_version_is_not_replaced(tmp_path: Path) -> None:
    publish_random(tmp_path / "models", "my_cgn", version="v1")
    with pytest.raises(RunError, match="never changes"):
        train_cgn(TINY, context(tmp_path))


def test_a_run_that_was_taken_over_publishes_nothing(tmp_path: Path) -> None:
    overtaken = context(tmp_path)
    check = CollapseReport.check

    def take_over(*args: Any, **options: Any) -> Any:  # the report is the last file that the run writes
        result = check(*args, **options)
        overtaken.run_dir.rename(tmp_path / "v2")
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CollapseReport, "check", take_over)
        with pytest.raises(versions.CheckpointError, match="taken over"):
            train_cgn(TINY, overtaken)
    assert not list((tmp_path / "models" / "my_cgn").iterdir())


def test_losses_that_are_not_finite_end_the_run_with_the_remedy(tmp_path: Path) -> None:
    config = TrainCgnConfig(steps=3, weight_style=1e39, **SMALL)
    with pytest.raises(RunError, match="lower lr_generator"):
        train_cgn(config, context(tmp_path))
    assert not (tmp_path / "models").exists()


def test_more_images_than_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"limit: .*7200"):
        train_cgn(TrainCgnConfig(steps=1, train_images=50_000), context(tmp_path))


def test_a_result_has_its_provenance_also_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(provenance("train_cgn", TINY, "v1")["commit"].rstrip("+")) in (0, 40)
    monkeypatch.setenv("PATH", "")
    assert provenance("train_cgn", TINY, "v1")["commit"] == ""
    assert provenance("train_cgn", TINY, "v1")["command"].endswith("--publish-collapsed True --version v1")


def test_a_checkpoint_with_a_flipped_bit_changes_nothing(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 3)
    checkpoints = Checkpoints(tmp_path, TINY, {"layer": layer})
    path = checkpoints.save(5)
    data = bytearray(path.read_bytes())
    data[-2] ^= 64
    path.write_bytes(data)
    torch.nn.init.constant_(layer.weight, 7.0)
    step, notes = checkpoints.resume()
    assert step == 0
    assert "damaged (digest)" in notes[0]
    assert bool((layer.weight == 7.0).all())


def test_a_checkpoint_with_a_changed_step_is_not_used(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, TINY, {"layer": torch.nn.Linear(3, 3)})
    checkpoints.save(4)
    path = checkpoints.save(5)
    path.write_bytes(path.read_bytes().replace(b'"step":"5"', b'"step":"9"'))
    step, notes = checkpoints.resume()
    assert (step, notes) == (4, [f"{path.name} is damaged (seal); not used"])


def test_a_full_disk_loses_checkpoints_and_then_the_run_but_leaves_no_partial_file(tmp_path: Path) -> None:
    """No file may exceed 100 kB: the collapse report is smaller, the weights are larger."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(dataclasses.asdict(TINY)))
    run = subprocess.run(
        [sys.executable, "-m", "trainer", "train_cgn", "--config", str(config), "--jsonl"]
        + ["--run-dir", str(tmp_path / "v1"), "--models-dir", str(tmp_path / "models"), "--version", "v1"],
        cwd=REPO,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    messages = events(run.stdout)
    assert run.returncode == DISK_FULL == messages[-1]["code"], run.stderr
    assert "File too large" in run.stderr.splitlines()[-1]
    lines = [event["line"] for event in messages if event["event"] == "log"]
    assert sum("no checkpoint was written, the disk is full" in line for line in lines) == 2
    steps = [event["step"] for event in messages if event["event"] == "progress"]
    assert steps[-1] == TINY.steps
    assert not list(tmp_path.rglob("*.part")) + list(tmp_path.rglob("checkpoint-*"))
    assert not list((tmp_path / "models" / "my_cgn").iterdir())


def command(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "train_cgn", "--run-dir", str(tmp_path / "run"), "--jsonl"]
        + ["--models-dir", str(tmp_path / "models"), "--train-images", "100", "--batch-size", "4", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_sigterm_leaves_a_checkpoint_that_the_command_resumes(tmp_path: Path) -> None:
    run = command(tmp_path, "--steps", "100000")
    assert run.stdout
    while '"progress"' not in run.stdout.readline():
        assert run.poll() is None
    run.send_signal(signal.SIGTERM)
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 3
    checkpoint_message, _, end = events(out)[-3:]
    assert (checkpoint_message["kind"], end["code"]) == ("checkpoint", 3)
    assert len(list((tmp_path / "run").glob("checkpoint-*.safetensors"))) == 1
    assert not (tmp_path / "models").exists()

    # --resume needs only the directory.
    arguments = ["-m", "trainer", "train_cgn", "--resume", "--run-dir", str(tmp_path / "run"), "--jsonl"]
    again = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    assert again.stdout
    output = ""
    while '"progress"' not in output:
        output += again.stdout.readline()
        assert again.poll() is None
    again.kill()
    again.communicate()
    (left,) = (tmp_path / "run").glob("checkpoint-*.safetensors")
    assert f"resuming after step {int(left.stem.removeprefix('checkpoint-'))}" in output


def test_a_new_run_in_an_old_directory_leaves_its_own_options(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        options = ("--steps", "1", "--seed", seed, "--version", f"v{seed}", "--publish-collapsed", "true")
        assert command(tmp_path, *options).wait(60) == 0
        assert json.loads((tmp_path / "run/config.json").read_text())["seed"] == int(seed)


def test_a_new_run_does_not_delete_the_checkpoints_of_an_old_one(tmp_path: Path) -> None:
    options = ("--steps", "2", "--checkpoint-every", "1", "--version", "v1", "--publish-collapsed", "true")
    assert command(tmp_path, *options).wait(60) == 0
    before = sorted((tmp_path / "run").glob("checkpoint-*"))
    run = command(tmp_path, *options, "--seed", "5")
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 2 and before == sorted((tmp_path / "run").glob("checkpoint-*"))
    assert errors.startswith("error: --run-dir: ") and "continue that run with --resume" in errors
    assert json.loads((tmp_path / "run/config.json").read_text())["seed"] == 0


def test_resume_without_a_run_to_continue_is_refused(tmp_path: Path) -> None:
    run = command(tmp_path, "--resume")
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 2
    assert errors.startswith("error: --resume: needs --run-dir with the run to continue")


def test_a_bad_option_is_one_line_that_names_it(tmp_path: Path) -> None:
    for options, message in (
        (("--steps", "0"), "error: steps: must be 1 to 2^32 - 1, is 0"),
        (("--dataset", "mnist"), "error: dataset: must be one of"),
        (("--lr-generator", "-1"), "error: lr_generator: must be above 0, at most 1, is -1.0"),
        (("--model-name", "../x"), "error: model_name: must be a lowercase letter"),
    ):
        run = command(tmp_path, *options)
        _, errors = run.communicate(timeout=60)
        assert run.returncode == 2
        assert errors.startswith(message)
        assert errors.count("\n") == 1
