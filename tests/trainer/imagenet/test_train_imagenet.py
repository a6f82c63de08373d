"""Training of the ImageNet family: ablations, exact resumes, and processes that share a run."""

import copy
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from benchmarks import full_size_step
from cgn.card import ModelCard
from cgn.errors import CgnInputError
from cgn.families.imagenet.biggan import BigGANSizes
from cgn.families.imagenet.family import FAMILY
from cgn.families.imagenet.network import ImagenetCGN, ImagenetSizes
from cgn.store import checkpoint, versions
from common.settings import REPO
from testing.random_model import ANIMALS, publish_random, publish_random_imagenet
from tests.trainer.mnist.test_runs import context
from trainer.classifier.network import Classifier
from trainer.imagenet.config import Settings, TrainImagenetConfig
from trainer.imagenet.scores import load_classifier
from trainer.imagenet.step import StepResult, Training, draw_micro_batch
from trainer.imagenet.train import train_imagenet
from trainer.run.context import RunContext, RunError, Stopped
from trainer.run.process_group import ProcessGroup

TINY = TrainImagenetConfig(
    start_model="start",
    steps=2,
    accumulation=2,
    batch_size=2,
    features="random",
    lr_shape=1e-3,
    lr_texture=1e-3,
    lr_background=1e-3,
)
LEARN, FROZEN = ("f_shape", "f_text", "f_bg"), ("biggan_GT", "u2net")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a start model."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("start")
    publish_random_imagenet(root, "start")
    return root


@pytest.fixture
def folder(tmp_path: Path, published: Path) -> Path:
    """A folder for runs, whose models folder has the start model."""
    torch.set_num_threads(1)
    shutil.copytree(published, tmp_path / "models")
    return tmp_path


_LOADED: dict[str, ImagenetCGN] = {}  # by digest


def start(folder: Path) -> ImagenetCGN:
    """Returns a copy of the start model. It is loaded once, as loading takes a second."""
    digest = versions.read_card(folder / "models", "start", "v1").digest
    if digest not in _LOADED:
        _LOADED[digest] = checkpoint.load_trained_of(FAMILY, folder / "models", "start")[0]
    return copy.deepcopy(_LOADED[digest])


def trained(config: TrainImagenetConfig, where: RunContext) -> tuple[ModelCard, ImagenetCGN]:
    train_imagenet(config, where)
    network, card = checkpoint.load_trained_of(FAMILY, where.models_dir, config.model_name, where.version)
    return card, network


def moved(before: ImagenetCGN, after: ImagenetCGN) -> set[str]:
    """Returns the names of the networks whose weights differ."""
    old = before.state_dict()
    return {name.split(".")[0] for name, t in after.state_dict().items() if not torch.equal(t, old[name])}


def one_step(folder: Path, config: TrainImagenetConfig) -> tuple[StepResult, ImagenetCGN]:
    training = Training(config, start(folder), ProcessGroup("cpu"))
    result = training.step(0)
    assert result is not None
    return result, training.network


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({"without": "rec"}, {"l1", "perceptual"}),
        ({"without": "shape"}, {"binary", "mask"}),
        ({"without": "text"}, {"text"}),
        ({"without": "bg"}, {"background"}),
        ({"supervision": "discriminator"}, {"l1", "perceptual"}),
    ],
)
def test_an_ablation_leaves_out_its_losses_only(
    folder: Path, options: dict[str, Any], left_out: set[str]
) -> None:
    terms = {"l1", "perceptual", "binary", "mask", "text", "background"}
    result, network = one_step(folder, replace(TINY, **options))
    opponent = {"adversarial", "discriminator"} if "supervision" in options else set()
    assert set(result.losses) == (terms - left_out) | opponent | {"loss"}
    assert moved(start(folder), network) == set(LEARN)


@pytest.mark.parametrize(
    ("without", "term"), [("rec", "l1"), ("shape", "binary"), ("text", "text"), ("bg", "background")]
)
def test_training_on_a_loss_lowers_it(folder: Path, without: str, term: str) -> None:
    def loss_after(config: TrainImagenetConfig) -> float:
        """Returns the term after a few steps, on other noise than that of the steps."""
        training = Training(config, start(folder), ProcessGroup("cpu"))
        for step in range(6):
            training.step(step)
        result = Training(replace(TINY, accumulation=4), training.network, ProcessGroup("cpu")).step(99)
        assert result is not None
        return result.losses[term]

    learn = replace(TINY, accumulation=1, lr_shape=2e-3, lr_texture=2e-3, lr_background=2e-3)
    weight = {"l1": "weight_l1", "binary": "weight_binary", "text": "weight_text"}
    alone: dict[str, Any] = {weight.get(term, "weight_background"): 1e5}
    assert loss_after(replace(learn, **alone)) < loss_after(replace(learn, without=without))


def test_the_loss_is_the_weighted_sum_of_equation_4(folder: Path) -> None:
    result, _ = one_step(folder, replace(TINY, mask_lowest=0.2, mask_highest=0.3))
    settings: Settings = TINY.settings
    assert result.losses["mask"] > 0
    expected = (
        100 * result.losses["l1"]
        + settings.weight_perceptual * result.losses["perceptual"]
        + 300 * result.losses["binary"]
        + 500 * result.losses["mask"]
        + settings.weight_text * result.losses["text"]
        + 2000 * result.losses["background"]
    )
    assert result.losses["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_micro_batch_depends_on_seed_step_and_number_only(folder: Path) -> None:
    network = start(folder)

    def noise(seed: int, step: int, number: int) -> torch.Tensor:
        return draw_micro_batch(replace(TINY, seed=seed), step, number, network).u_NL

    assert torch.equal(noise(1, 2, 3), noise(1, 2, 3))
    others = [noise(0, 2, 3), noise(1, 3, 3), noise(1, 2, 4), noise(12, 3, 0), noise(1, 23, 0)]
    assert not any(torch.equal(noise(1, 2, 3), other) for other in others)
    several = replace(TINY, batch_size=64)
    assert len(draw_micro_batch(several, 0, 0, network).label_N.unique()) == 1  # as the authors' code
    mixed = draw_micro_batch(replace(several, preset="paper"), 0, 0, network).label_N
    assert len(mixed.unique()) == len(ANIMALS)


def test_accumulation_steps_equal_one_large_batch(folder: Path) -> None:
    config = replace(TINY, without="text", accumulation=4, batch_size=1)
    training = Training(config, start(folder), ProcessGroup("cpu"))
    network = training.network
    micro_batches = [draw_micro_batch(config, 0, number, network) for number in range(4)]
    result = training.step(0)
    assert result is not None
    with torch.no_grad():
        before = start(folder).eval()
        y_NC = torch.eye(len(ANIMALS))[[int(batch.label_N) for batch in micro_batches]]
        out = before(torch.cat([batch.u_NL for batch in micro_batches]), y_NC)
    assert result.mu_mask == pytest.approx(float(out.mask.mean()), abs=1e-5)


def test_spectral_norms_follow_the_weights(folder: Path) -> None:
    _, network = one_step(folder, TINY)
    state, before = network.f_text.state_dict(), start(folder).f_text.state_dict()
    for name, weight in state.items():
        if name.endswith(".weight_orig"):
            u, v = (state[f"{name.removesuffix('_orig')}_{k}"] for k in "uv")
            estimate = float(u @ weight.flatten(1) @ v)
            norm = float(torch.linalg.matrix_norm(weight.flatten(1), 2))
            assert estimate == pytest.approx(norm, rel=0.05), name
    vectors = [name for name in state if name.endswith("weight_u") and state[name].numel() > 1]
    assert any(not torch.equal(state[name], before[name]) for name in vectors)
    statistics = [name for name in state if ".running_" in name]
    assert all(torch.equal(state[name], before[name]) for name in statistics)


def test_a_cgn_is_trained_and_published(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card, network = trained(replace(TINY, sample_every=1), context(folder))
    assert moved(start(folder), network) == set(LEARN)
    start_card = versions.read_card(folder / "models", "start", "v1")
    assert (card.family, card.class_ids, card.trained) == ("imagenet", start_card.class_ids, False)
    assert card.architecture == start_card.architecture
    assert len(card.mask_mean) == len(ANIMALS)
    assert card.training["start"] == {"name": "start", "version": "v1", "digest": start_card.digest}
    assert card.training["settings"]["weight_perceptual"] == 100.0
    assert card.training["command"].startswith("python -m trainer train_imagenet --start-model start")
    assert "random weights, for tests" in card.notes
    assert checkpoint.load(folder / "models", "my_imagenet").network.resolution == 32

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["step"], last["total_steps"]) == (2, 2)
    assert 0 < last["mu_mask"] < 1
    stills = sorted((folder / "v1/samples").glob("*.png"))
    assert [still.stem for still in stills] == ["step-0000000", "step-0000001", "step-0000002"]
    with np.load(stills[-1].with_suffix(".npz"), allow_pickle=False) as arrays:
        assert arrays["labels"].tolist() == list(range(len(ANIMALS)))
        assert arrays["mask"].shape == (len(ANIMALS), 32, 32, 1)
        assert arrays["composite"].shape == arrays["pre_mask"].shape == (len(ANIMALS), 32, 32, 3)
    with Image.open(folder / "v1/samples/animation.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 3


def test_collapsed_masks_cause_a_warning_and_are_published(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(TINY, steps=1, mask_lowest=0.01, mask_highest=0.02)
    card, _ = trained(config, context(folder))
    note = next(note for note in card.notes if "have collapsed" in note)
    assert "the mask is inverted or covers the image" in note
    assert f"warning: {note}" in [json.loads(x).get("line") for x in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("options", [{"refine": True}, {"supervision": "discriminator"}])
def test_a_stopped_run_resumes_to_the_same_weights(folder: Path, options: dict[str, Any]) -> None:
    config = replace(TINY, steps=3, **options)
    whole, _ = trained(config, context(folder, "whole"))
    first = context(folder, "broken")
    progress = first.reporter.progress

    def stop(step: int, *values: Any) -> None:  # during the next step
        progress(step, *values)
        first.stop.requested = step == 1

    first.reporter.progress = stop  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        train_imagenet(config, first)
    assert [path.name for path in first.run_dir.glob("checkpoint-*")] == ["checkpoint-0000001.safetensors"]
    broken, _ = trained(config, context(folder, "broken", resume=True))
    assert broken.training["resumed_at_step"] == 1
    assert broken.digest == whole.digest


def test_a_refinement_network_is_trained_with_the_mechanisms(folder: Path) -> None:
    where = context(folder)
    card, _ = trained(replace(TINY, refine=True), where)
    tensors = load_file(where.run_dir / "refinement.safetensors")
    assert float(tensors["correction.4.weight"].abs().max()) > 0  # it starts at 0
    assert any("refinement network" in note for note in card.notes)
    plain = context(folder, "plain")
    trained(TINY, plain)
    sheets = [Image.open(w.run_dir / "samples/step-0000002.png") for w in (where, plain)]
    assert sheets[0].height > sheets[1].height  # by the row of refined composites


def test_every_texture_target_gives_another_l_text(folder: Path) -> None:
    texts = {
        one_step(folder, replace(TINY, **options))[0].losses["text"]
        for options in (
            {},
            {"texture_target": "random_fill"},
            {"patch_size": 6},
            {"preset": "paper"},
            {"patches_of": "composite"},
            {"patch_by_object": True, "patch_size": 6},
        )
    }
    assert len(texts) == 6
    with pytest.raises(CgnInputError, match="patch_size: 17 must be at most 16"):
        one_step(folder, replace(TINY, patch_size=17))


def save_weights(classifier: Classifier, path: Path) -> None:
    """Writes weights as train_classifier does."""
    save_file({name: t.contiguous() for name, t in classifier.state_dict().items()}, path)


def test_scores_use_the_classifier_of_the_options(folder: Path) -> None:
    torch.manual_seed(0)
    classifier = Classifier(len(ANIMALS))
    classifier.logits.weight.data *= 100  # for confident predictions
    save_weights(classifier, folder / "classifier.safetensors")
    where = context(folder)
    trained(replace(TINY, classifier=str(folder / "classifier.safetensors"), score_images=40), where)
    scores = json.loads((where.run_dir / "scores.json").read_text())
    assert [(entry["step"], entry["images"]) for entry in scores] == [(0, 40), (2, 40)]
    assert all(1 < entry["inception_score"] < len(ANIMALS) and 0 < entry["mu_mask"] < 1 for entry in scores)
    assert scores[0]["inception_score"] != scores[1]["inception_score"]
    metrics = json.loads((where.run_dir / "metrics.jsonl").read_text().splitlines()[-1])
    assert metrics["values"]["inception_score"] == scores[1]["inception_score"]


def test_a_classifier_of_other_classes_is_refused(folder: Path) -> None:
    save_weights(Classifier(7), folder / "other.safetensors")
    with pytest.raises(CgnInputError, match=r"logits\.weight \(7, 64\).*train_classifier for 4 classes"):
        train_imagenet(replace(TINY, classifier=str(folder / "other.safetensors")), context(folder))


def test_inception_v3_is_recognised_by_its_weights(tmp_path: Path) -> None:
    from torchvision.models import inception_v3  # type: ignore[import-untyped]

    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.save(inception_v3(weights=None, init_weights=False).state_dict(), tmp_path / "inception.pth")
    classify = load_classifier(tmp_path / "inception.pth", 4, 32, torch.device("cpu"))
    p_NC = classify(torch.rand(2, 3, 32, 32) * 2 - 1)
    assert p_NC.shape == (2, 1000)
    torch.testing.assert_close(p_NC.sum(1), torch.ones(2))


def test_a_start_model_that_does_not_fit_is_refused(folder: Path) -> None:
    publish_random(folder / "models", "digits")
    publish_random_imagenet(folder / "models", "bare", reference=0)
    for name, says in (
        ("digits", "be of family imagenet, is of mnist"),
        ("bare", "have its unconstrained cGAN"),
    ):
        with pytest.raises(RunError, match=f"start_model: {name} v1 must {says}"):
            train_imagenet(replace(TINY, start_model=name), context(folder))


def test_features_without_weights_are_refused_before_a_step(folder: Path) -> None:
    config = replace(TINY, features="vgg16", vgg16_weights=str(folder / "none.pth"))
    with pytest.raises(CgnInputError, match="vgg16_weights: there is no file"):
        train_imagenet(config, context(folder))


def test_the_benchmark_of_a_step_measures_time_and_memory(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    sizes = ImagenetSizes(BigGANSizes.at(32, classes=4, ch=8, z_dim=16), [(2, 4)] * 11)
    out = tmp_path / "step.json"
    assert full_size_step.main(["--out", str(out), "--steps", "1"], sizes) == 0
    measures = json.loads(out.read_text())
    assert measures["weights"] == "random" and measures["peak_rss_gib"] > 0
    (step,) = measures["steps"]
    assert step["seconds"] > 0
    assert set(step["values"]) == {"loss", "l1", "perceptual", "binary", "mask", "text", "background"}
    assert step["values"]["l1"] < 1e-5  # all mechanisms start from the weights of the cGAN


@pytest.mark.long
def test_two_processes_equal_one_with_twice_the_accumulation_steps(folder: Path) -> None:
    options = {"start_model": "start", "features": "random", "batch_size": 1, "steps": 3, "seed": 5}
    rates = {"lr_shape": 1e-4, "lr_texture": 1e-4, "lr_background": 1e-4}

    def run(version: str, processes: int, accumulation: int) -> dict[str, Any]:
        config = folder / f"{version}.json"
        config.write_text(
            json.dumps(options | rates | {"accumulation": accumulation, "processes": processes})
        )
        command = [sys.executable, "-m", "trainer", "train_imagenet", "--jsonl"]
        where = ["--run-dir", str(folder / version), "--models-dir", str(folder / "models")]
        done = subprocess.run(
            [*command, "--config", str(config), *where, "--version", version],
            cwd=REPO,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CGN_DEVICE": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        (result,) = [line for line in lines if line["event"] == "result"]  # of the main process only
        assert (result["model_version"], lines[-1]) == (version, {"event": "end", "code": 0})
        metrics: dict[str, Any] = json.loads(
            (folder / version / "metrics.jsonl").read_text().splitlines()[-1]
        )
        assert metrics["step"] == 3
        return metrics

    shared, alone, half = run("shared", 2, 2), run("alone", 1, 4), run("half", 1, 2)
    assert shared["values"] == pytest.approx(alone["values"], rel=1e-4)
    assert shared["mu_mask"] == pytest.approx(alone["mu_mask"], rel=1e-4)
    assert half["values"] != pytest.approx(alone["values"], rel=1e-4)
    weights, expected = (
        checkpoint.load_trained(folder / "models", "my_imagenet", version)[0].state_dict()
        for version in ("shared", "alone")
    )
    # If a gradient is only rounding error, the sign of Adam's step is random.
    distances = [
        float((weights[name] - tensor).abs().mean())
        for name, tensor in expected.items()
        if tensor.is_floating_point()
    ]
    assert max(distances) < 1e-4
    assert versions.read_card(folder / "models", "my_imagenet", "shared").training["processes"] == 2
