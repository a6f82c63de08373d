"""Runs that score classifiers: one that is there, and several that are trained together."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from testing.random_model import publish_random
from trainer.classifier.config import EvaluateClassifierConfig, TrainClassifierConfig, TrainEnsembleConfig
from trainer.classifier.ensemble import Ensemble, train_ensemble
from trainer.classifier.evaluate import evaluate_classifier
from trainer.classifier.network import Classifier
from trainer.classifier.train import train_classifier
from trainer.run.context import RunContext, RunError, StopFlag, Stopped
from trainer.run.report import Reporter

SHORT: dict[str, Any] = {"images_seen": 96, "batch_size": 32, "train_on": "original"}


@pytest.fixture(autouse=True)
def bundled_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    monkeypatch.setenv("CGN_RUNS_DIR", str(tmp_path / "runs"))
    torch.set_num_threads(1)


def context(folder: Path, run: str, *, resume: bool = False) -> RunContext:
    run_dir, models_dir = folder / "runs" / run, folder / "models"
    run_dir.mkdir(exist_ok=True, parents=True)
    reporter = Reporter(run_dir, models_dir, jsonl=True)
    return RunContext(run_dir, models_dir, "cpu", "v1", resume, reporter, StopFlag())


def scores_of(where: RunContext) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((where.run_dir / "scores.json").read_text())
    return result


def test_a_trained_classifier_scores_as_when_it_was_trained(tmp_path: Path) -> None:
    publish_random(tmp_path / "models", "tiny")
    trained = context(tmp_path, "trained")
    train_classifier(TrainClassifierConfig(**SHORT), trained)
    where = context(tmp_path, "scored")
    config = EvaluateClassifierConfig(
        classifier="trained/classifier.safetensors", model_name="tiny", counterfactuals=50
    )
    evaluate_classifier(config, where)
    before, now = scores_of(trained)["scores"], scores_of(where)["scores"]
    assert now == {name: values for name, values in before.items() if name != "train"} | {
        "counterfactuals": now["counterfactuals"]
    }
    assert 0 <= now["counterfactuals"]["accuracy"] <= 1
    assert scores_of(where)["model"]["name"] == "tiny"


def folder_of(tmp_path: Path, name: str, classes: dict[str, int], images: int = 20) -> str:
    """Images of one colour each, a class to a level of grey."""
    for of_class, level in classes.items():
        (tmp_path / name / of_class).mkdir(parents=True)
        for i in range(images):
            Image.new("RGB", (32, 32), (level, level, i)).save(tmp_path / name / of_class / f"{i}.png")
    return str(tmp_path / name)


def test_a_folder_of_test_images_is_scored_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours: dict[str, Any] = {"dataset": "folder", "resolution": 32}
    trained = context(tmp_path, "trained")
    folder = folder_of(tmp_path, "ours", {"dark": 30, "light": 220})
    train_classifier(TrainClassifierConfig(**(SHORT | ours | {"folder": folder})), trained)
    test = folder_of(tmp_path, "test", {"dark": 25, "light": 225}, images=30)
    where, classifier = context(tmp_path, "scored"), "trained/classifier.safetensors"
    evaluate_classifier(EvaluateClassifierConfig(classifier=classifier, folder=test, **ours), where)
    scores = scores_of(where)["scores"]
    assert set(scores) == {"validation", "all"} and 0 <= scores["all"]["accuracy"] <= 1
    assert "all (60 images): accuracy" in capsys.readouterr().out

    others = folder_of(tmp_path, "others", {"light": 220, "shadow": 30})  # sorted otherwise
    with pytest.raises(RunError, match="has class 'dark' at label 0, the data set 'light'"):
        evaluate_classifier(EvaluateClassifierConfig(classifier=classifier, folder=others, **ours), where)


def test_what_cannot_be_scored_is_told(tmp_path: Path) -> None:
    where = context(tmp_path, "scored")
    with pytest.raises(RunError, match=r"classifier: .*there is no file none/c.safetensors"):
        evaluate_classifier(EvaluateClassifierConfig(classifier="none/c.safetensors"), where)
    torch.save(Classifier(3).state_dict(), tmp_path / "three.pth")
    with pytest.raises(RunError, match="for 10 classes at 32 pixels"):
        evaluate_classifier(EvaluateClassifierConfig(classifier=str(tmp_path / "three.pth")), where)


def test_members_are_single_classifiers_and_their_mean_decides(tmp_path: Path) -> None:
    where = context(tmp_path, "ensemble")
    train_ensemble(TrainEnsembleConfig(**SHORT, members=2, seed=3), where)
    alone = context(tmp_path, "alone")
    train_classifier(TrainClassifierConfig(**SHORT, seed=4), alone)
    weights = [
        load_file(path / "classifier.safetensors") for path in (where.run_dir / "member-01", alone.run_dir)
    ]
    assert all(torch.equal(weights[0][name], tensor) for name, tensor in weights[1].items())
    result = scores_of(where)
    assert result["members"][1] == scores_of(alone)["scores"]
    assert set(result["scores"]) == set(result["members"][1]) - {"train"}

    members = [Classifier(10), Classifier(10)]
    together = Ensemble(members).eval()
    x_NCHW = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        mean = sum(member.eval()(x_NCHW).softmax(1) for member in members) / 2
        assert torch.allclose(together(x_NCHW).exp(), mean, atol=1e-6)


def test_an_interrupted_ensemble_keeps_the_members_it_has(tmp_path: Path) -> None:
    config = TrainEnsembleConfig(**SHORT, members=2)
    where = context(tmp_path, "ensemble")

    class StopInSecond(StopFlag):
        @property
        def requested(self) -> bool:
            return (where.run_dir / "member-01").exists()

        @requested.setter
        def requested(self, value: bool) -> None:
            pass

    stopping = RunContext(where.run_dir, where.models_dir, "cpu", "v1", False, where.reporter, StopInSecond())
    with pytest.raises(Stopped):
        train_ensemble(config, stopping)
    first = where.run_dir / "member-00" / "classifier.safetensors"
    written = first.stat().st_mtime_ns
    train_ensemble(config, context(tmp_path, "ensemble", resume=True))
    assert first.stat().st_mtime_ns == written
    assert len(scores_of(where)["members"]) == 2
