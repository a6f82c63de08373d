"""The training of a classifier without any service: its data, its scores, and resuming to the same bits."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from testing.random_model import publish_random
from trainer.classifier.config import TrainClassifierConfig
from trainer.classifier.network import Classifier
from trainer.classifier.train import learning_rate, train_classifier
from trainer.run.context import RunContext, RunError, StopFlag, Stopped
from trainer.run.report import Reporter

FEW_ROWS = {"bank_masks": 20, "bank_textures": 10, "bank_backgrounds": 10}
CAUSES = {"accuracy", "accuracy_where_a_cue_agrees", "accuracy_where_none_agrees"}
COLOURS = {"accuracy_where_colours_are_equal", "accuracy_where_colours_differ"}


@pytest.fixture(autouse=True)
def bundled_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    torch.set_num_threads(1)  # batches are tiny: threads would only wait for each other


def tiny(**options: Any) -> TrainClassifierConfig:
    return TrainClassifierConfig(**{"images_seen": 96, "batch_size": 32, **FEW_ROWS, **options})


def context(folder: Path, version: str = "v1", *, resume: bool = False) -> RunContext:
    run_dir, models_dir = folder / version, folder / "models"
    run_dir.mkdir(exist_ok=True)
    reporter = Reporter(run_dir, models_dir, jsonl=True)
    return RunContext(run_dir, models_dir, "cpu", version, resume, reporter, StopFlag())


def result(config: TrainClassifierConfig, folder: Path) -> dict[str, Any]:
    where = context(folder)
    train_classifier(config, where)
    weights = load_file(where.run_dir / "classifier.safetensors")
    report: dict[str, Any] = json.loads((where.run_dir / "scores.json").read_text())
    Classifier(len(report["class_names"]), config.resolution).load_state_dict(weights)
    assert all(0 <= value <= 1 for part in report["scores"].values() for value in part.values())
    return report


@pytest.mark.parametrize(
    "train_on", ["original", "counterfactual", "original+counterfactual", "intervention"]
)
def test_scores_are_those_of_unbiased_and_of_biased_images(tmp_path: Path, train_on: str) -> None:
    publish_random(tmp_path / "models", "tiny")
    report = result(tiny(model_name="tiny", train_on=train_on), tmp_path)
    assert {name: set(values) for name, values in report["scores"].items()} == {
        "validation": CAUSES,
        "test": CAUSES,
        "in_domain": {"accuracy"},
        "train": {"accuracy"},
    }
    assert set(report["data"]) == set(train_on.split("+"))
    assert report["images_seen"] == 96
    assert report["cpu_seconds"] > 0


def test_double_colored_is_scored_by_equal_colours_and_with_drift_too(tmp_path: Path) -> None:
    scores = result(tiny(dataset="double_colored_mnist", train_on="original"), tmp_path)["scores"]
    for name in ("validation", "test", "validation_drifting", "test_drifting"):
        assert set(scores[name]) == CAUSES | COLOURS
    assert set(scores) == {"validation", "test", "validation_drifting", "test_drifting", "in_domain", "train"}


def test_originals_teach_the_cue_and_true_interventions_do_not(tmp_path: Path) -> None:
    seen = {"images_seen": 4000, "dataset": "double_colored_mnist"}
    biased = result(tiny(train_on="original", **seen), tmp_path)["scores"]
    unbiased = result(tiny(train_on="intervention", **seen), tmp_path)["scores"]
    assert biased["in_domain"]["accuracy"] > 0.9
    assert biased["test"]["accuracy"] < 0.3
    assert biased["test"]["accuracy_where_a_cue_agrees"] > biased["test"]["accuracy_where_none_agrees"] + 0.2
    assert abs(unbiased["in_domain"]["accuracy"] - unbiased["test"]["accuracy"]) < 0.15


@pytest.mark.parametrize(
    "options",
    [
        {"train_on": "original+counterfactual"},
        {"counterfactuals": 50, "labels": "permuted", "cf_ratio": 2},
        {"bank_masks": 0, "bank_textures": 0, "bank_backgrounds": 0},
    ],
)
def test_a_stopped_run_resumes_to_the_same_weights(tmp_path: Path, options: dict[str, Any]) -> None:
    publish_random(tmp_path / "models", "tiny")
    config = tiny(model_name="tiny", images_seen=160, **options)
    whole, broken = context(tmp_path, "whole"), context(tmp_path, "broken")
    train_classifier(config, whole)
    progress = broken.reporter.progress

    def stop_after_three_steps(step: int, *values: Any) -> None:
        progress(step, *values)
        broken.stop.requested = step == 3

    broken.reporter.progress = stop_after_three_steps  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        train_classifier(config, broken)
    train_classifier(config, context(tmp_path, "broken", resume=True))
    first, second = (where.run_dir / "classifier.safetensors" for where in (whole, broken))
    assert first.read_bytes() == second.read_bytes()
    stopped = json.loads((broken.run_dir / "scores.json").read_text())
    assert stopped["resumed_at_step"] == 3
    assert stopped["scores"] == json.loads((whole.run_dir / "scores.json").read_text())["scores"]


def test_a_run_stops_while_rows_are_computed(tmp_path: Path) -> None:
    publish_random(tmp_path / "models", "tiny")
    where = context(tmp_path)
    where.stop.requested = True
    with pytest.raises(Stopped):
        train_classifier(tiny(model_name="tiny"), where)
    assert not list(where.run_dir.glob("checkpoint-*"))


def test_the_learning_rate_falls_linearly_to_0_for_any_number_of_steps() -> None:
    for steps in (4, 400):
        config = TrainClassifierConfig(train_on="original", images_seen=32 * steps, learning_rate=0.5)
        rates = [learning_rate(config, share * steps // 4) for share in range(4)]
        assert rates == pytest.approx([0.5, 0.375, 0.25, 0.125])
        assert 0 < learning_rate(config, steps - 1) <= 0.5 / steps


def test_its_first_layer_is_a_batch_norm_and_a_convolution() -> None:
    torch.manual_seed(0)
    classifier = Classifier(10).double()
    fused = classifier.features[0]
    norm, convolution = fused.norm, fused.convolution
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert isinstance(convolution, torch.nn.Conv2d)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    plain = copy.deepcopy(torch.nn.Sequential(norm, convolution))
    x_NCHW, pull = torch.randn(8, 3, 32, 32).double(), torch.randn(8, 32, 32, 32).double()
    for training in (True, False):
        for layers in (fused, plain):
            layers.train(training).zero_grad()
            (layers(x_NCHW) * pull).sum().backward()
        torch.testing.assert_close(fused(x_NCHW), plain(x_NCHW))
        for parameter, expected in zip(fused.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, expected.grad)
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(getattr(norm, name), getattr(plain[0], name))


def test_validation_accuracy_is_logged_as_images_are_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.classifier.train.EPOCH", 64)
    train_classifier(tiny(train_on="original", images_seen=160), context(tmp_path))
    lines = [
        event["line"] for event in map(json.loads, capsys.readouterr().out.splitlines()) if "line" in event
    ]
    assert [line.split(":")[0] for line in lines if "images seen" in line] == [
        "64 images seen",
        "128 images seen",
    ]


def photographs(folder: Path, names: list[str], count: int = 20) -> Path:
    """A folder of images, each class in a grey of its own."""
    random = np.random.default_rng(0)
    for grey, name in zip(np.linspace(40, 200, len(names)), names, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(random.normal(grey, 9, (50, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def test_a_folder_s_classifier_at_64_pixels_is_scored_on_what_is_held_out(tmp_path: Path) -> None:
    names = ["cat", "dog", "eel"]
    publish_random(tmp_path / "models", "pets", class_names=names, resolution=64, width=4)
    folder = photographs(tmp_path / "pets", names)
    config = tiny(
        dataset="folder",
        folder=str(folder),
        resolution=64,
        model_name="pets",
        train_on="original+counterfactual",
    )
    report = result(config, tmp_path)
    assert report["class_names"] == names
    assert set(report["scores"]) == {"validation", "train", "held_out_counterfactuals"}


def test_a_cgn_of_other_images_is_refused(tmp_path: Path) -> None:
    publish_random(tmp_path / "models", "large", resolution=64)
    with pytest.raises(RunError, match="10 classes at 64 pixels, the data set 10 at 32"):
        train_classifier(tiny(model_name="large"), context(tmp_path))
    publish_random(tmp_path / "models", "birds", class_names=["auk", "emu"])
    config = tiny(
        dataset="folder", folder=str(photographs(tmp_path / "pets", ["cat", "dog"])), model_name="birds"
    )
    with pytest.raises(RunError, match="have other names"):
        train_classifier(config, context(tmp_path))
    with pytest.raises(RunError, match="no model 'nobody'"):
        train_classifier(tiny(model_name="nobody"), context(tmp_path))


@pytest.mark.parametrize("resolution", [32, 64])
def test_the_last_row_and_column_of_the_last_map_take_no_part(resolution: int) -> None:
    torch.manual_seed(0)
    classifier = Classifier(4, resolution).eval()
    x_NCHW = torch.rand(2, 3, resolution, resolution)
    map_NCHW = classifier.features[:-2](x_NCHW)
    assert map_NCHW.shape == (2, 64, resolution // 4, resolution // 4)
    mean_NC = map_NCHW[:, :, :-1, :-1].mean((2, 3))
    assert torch.allclose(classifier(x_NCHW), classifier.logits(mean_NC), atol=1e-6)
