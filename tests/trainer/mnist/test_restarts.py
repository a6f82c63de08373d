"""A run whose masks collapse starts again with another seed, and finally fails instead of publishing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from cgn.store import versions
from tests.trainer.mnist.test_runs import context, events
from trainer.mnist.config import TrainCgnConfig
from trainer.mnist.train import attempt_seed, train_cgn
from trainer.run.context import RunContext, RunError, Stopped

# Three steps train no masks, so every attempt at this run collapses.
SMALL: dict[str, Any] = {"batch_size": 4, "train_images": 100, "checkpoint_every": 1}
COLLAPSES = TrainCgnConfig(steps=3, restarts=2, **SMALL)


@pytest.fixture(autouse=True)
def bundled_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    torch.set_num_threads(1)


def checks(run_dir: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((run_dir / "collapse_report.json").read_text())["checks"]
    return entries


def fails(config: TrainCgnConfig, where: RunContext) -> str:
    with pytest.raises(RunError) as caught:
        train_cgn(config, where)
    return str(caught.value)


def test_a_run_that_collapses_is_restarted_then_fails_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = fails(COLLAPSES, context(tmp_path))
    assert message.startswith("the masks of all 10 classes have collapsed: ")
    assert (
        message.count("border mass 0.3") == 1
        and "the mask is inverted, has a frame or is in pieces" in message
    )
    assert "after 2 restarts" in message and "collapse_report.json" in message
    assert len(message) <= 500 and "\n" not in message
    assert not (tmp_path / "models").exists()

    messages = events(capsys.readouterr().out)
    lines = [event["line"] for event in messages if event["event"] == "log"]
    assert [line.split(":")[0] for line in lines if line.startswith("restart")] == [
        "restart 1 of 2",
        "restart 2 of 2",
    ]
    assert sum("border mass" in line for line in lines) == 2  # those of the last attempt are in the error
    progress = [event for event in messages if event["event"] == "progress"]
    assert {event["total_steps"] for event in progress} == {3}
    assert {event["values"]["restarts"] for event in progress} == {0, 1, 2}
    kinds = [event["kind"] for event in messages if event["event"] == "artefact"]
    assert kinds.count("collapse_report") == 3 and "model" not in kinds
    assert list((tmp_path / "v1/samples").glob("step-*.png"))

    entries = checks(tmp_path / "v1")
    assert [check["restart"] for check in entries] == [0, 1, 2]
    assert [check["seed"] for check in entries] == [attempt_seed(0, restart) for restart in range(3)]
    assert [entry["class"] for entry in entries[0]["classes"]] == [str(digit) for digit in range(10)]
    assert all(entry["faults"] for entry in entries[0]["classes"])
    assert entries[0]["classes"] != entries[1]["classes"]


def test_a_run_without_restarts_fails_at_once(tmp_path: Path) -> None:
    message = fails(TrainCgnConfig(steps=1, restarts=0, **SMALL), context(tmp_path))
    assert "after 0 restarts" in message
    assert [(check["restart"], check["step"]) for check in checks(tmp_path / "v1")] == [(0, 1)]


def test_a_restarted_run_resumes_in_its_attempt(tmp_path: Path) -> None:
    config = TrainCgnConfig(steps=20, restarts=2, **SMALL)  # the first mask check is after two steps
    fails(config, context(tmp_path, "whole"))
    first = context(tmp_path, "broken")
    progress = first.reporter.progress

    def stop_in_the_second_attempt(step: int, values: dict[str, float], mu_mask: float) -> None:
        progress(step, values, mu_mask)
        first.stop.requested = (step, values["restarts"]) == (1, 1)

    first.reporter.progress = stop_in_the_second_attempt  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        train_cgn(config, first)
    left = sorted(path.stem for path in first.run_dir.glob("checkpoint-*"))
    assert left == ["checkpoint-0000000", "checkpoint-0000001"]
    fails(config, context(tmp_path, "broken", resume=True))
    assert [check["restart"] for check in checks(tmp_path / "broken")] == [0, 1, 2]
    assert checks(tmp_path / "broken") == checks(tmp_path / "whole")


def test_a_collapsed_model_is_published_on_request_with_a_note_on_its_card(tmp_path: Path) -> None:
    config = TrainCgnConfig(steps=3, publish_collapsed=True, **SMALL)
    train_cgn(config, context(tmp_path))
    card = versions.read_card(tmp_path / "models", "my_cgn", "v1")
    assert any(note.startswith("the masks of all 10 classes") for note in card.notes)
    assert card.training["restarts"] == 0
    assert card.training["seconds"] > 0 and card.training["cpu_seconds"] > 0
    # The measures are outside the bounds on the card, so that a server can warn.
    bounds = card.mask_bounds[0]
    assert card.mask_border[0] > bounds.highest_border and card.mask_soft[0] > bounds.highest_soft
    assert [check["step"] for check in checks(tmp_path / "v1")] == [3]


def test_seconds_add_up_over_a_resume(tmp_path: Path) -> None:
    config = TrainCgnConfig(steps=3, publish_collapsed=True, **SMALL)
    first = context(tmp_path)
    first.stop.requested = True
    with pytest.raises(Stopped):
        train_cgn(config, first)
    (path,) = first.run_dir.glob("checkpoint-*.safetensors")
    with safe_open(path, framework="pt") as file:
        before = file.get_tensor("account.seconds").item(), file.get_tensor("account.cpu_seconds").item()
    train_cgn(config, context(tmp_path, resume=True))
    training = versions.read_card(tmp_path / "models", "my_cgn", "v1").training
    assert 0 < before[0] < training["seconds"] and 0 < before[1] < training["cpu_seconds"]
    assert training["resumed_at_step"] == 1


def test_seeds_of_restarts_are_distinct_and_in_range() -> None:
    seeds = [attempt_seed(seed, restart) for seed in range(50) for restart in range(11)]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**63 for seed in seeds)
    assert attempt_seed(7, 0) == 7


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_real_run_of_a_few_hundred_steps_is_sound(tmp_path: Path) -> None:
    config = TrainCgnConfig(steps=600, dataset="double_colored_mnist")
    where = context(tmp_path)
    train_cgn(config, where)
    card = versions.read_card(tmp_path / "models", "my_cgn", "v1")
    assert card.notes == [note for note in card.notes if "collapsed" not in note]
    measured = zip(card.mask_bounds, card.mask_mean, card.mask_border, card.mask_soft, strict=True)
    for bounds, mean, border, soft in measured:
        assert bounds.lowest <= mean <= bounds.highest
        assert border <= bounds.highest_border and soft <= bounds.highest_soft


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_real_run_that_must_collapse_fails_with_the_class_and_the_reason(tmp_path: Path) -> None:
    # Nothing holds the mask's mean, and the discriminator is too fast to be followed.
    config = TrainCgnConfig(steps=150, restarts=1, weight_mask=0, lr_discriminator=0.05, train_images=1000)
    message = fails(config, context(tmp_path))
    assert "class" in message and "collapsed" in message and "after 1 restarts" in message
    assert {check["restart"] for check in checks(tmp_path / "v1")} == {0, 1}
    assert not (tmp_path / "models").exists()
