"""Training of the saliency network, the judge of masks, and the start model of an ImageNet CGN."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from cgn.data import load_textures, make_variant
from cgn.data.objects import Objects
from cgn.factors import Factor
from cgn.families.imagenet.family import FAMILY
from cgn.families.imagenet.u2net import U2Net
from cgn.metrics.masks import mask_iou
from cgn.store import checkpoint
from trainer.imagenet.biggan import train_biggan
from trainer.imagenet.saliency import train_saliency
from trainer.imagenet.start import start_imagenet
from trainer.imagenet.start_config import StartImagenetConfig, TrainBigganConfig, TrainSaliencyConfig
from trainer.reproduce.miniature.mask_judge import train_judge
from trainer.run.context import RunContext, RunError, StopFlag, Stopped
from trainer.run.report import Reporter

TINY = TrainSaliencyConfig(
    inner=2, outer=4, steps=4, batch_size=4, checkpoint_every=100, sample_every=100, learning_rate=1e-2
)


@pytest.fixture(autouse=True)
def bundled_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    torch.set_num_threads(1)


def context(folder: Path, version: str = "v1", *, resume: bool = False) -> RunContext:
    run_dir, models_dir = folder / version, folder / "models"
    run_dir.mkdir(exist_ok=True)
    reporter = Reporter(run_dir, models_dir, jsonl=True)
    return RunContext(run_dir, models_dir, "cpu", version, resume, reporter, StopFlag())


def result(config: TrainSaliencyConfig, where: RunContext) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    train_saliency(config, where)
    summary: dict[str, Any] = json.loads((where.run_dir / "saliency.json").read_text())
    return load_file(where.run_dir / "saliency.safetensors"), summary


def test_a_network_trained_on_drawn_objects_finds_drawn_objects(tmp_path: Path) -> None:
    config = TrainSaliencyConfig(
        inner=4, outer=8, steps=100, batch_size=8, learning_rate=5e-3, sample_every=100
    )
    weights, summary = result(config, context(tmp_path))
    net = U2Net([(4, 8)] * 11, align_corners=True).eval()
    net.load_state_dict(weights)
    textures = load_textures()
    images, masks = Objects(np.concatenate([textures.object, textures.background]), 32, 99).pictures(0, 100)
    with torch.no_grad():
        saliency = net(torch.from_numpy(images))[:, 0].numpy()
    assert saliency[masks].mean() > 1.7 * saliency[~masks].mean()
    assert all(0 <= value <= 1 for of_set in summary["iou"].values() for value in of_set.values())
    assert summary["digits"]["split"] == "test" and summary["textures"] == "procedural"
    assert summary["command"].startswith("python -m trainer train_saliency --outer 8")
    logged = [json.loads(line) for line in (tmp_path / "v1/metrics.jsonl").read_text().splitlines()]
    assert logged[-1]["values"]["saliency"] < 0.75 * logged[0]["values"]["saliency"]
    assert Image.open(tmp_path / "v1/samples/step-0000100.png").width > 900


def test_a_stopped_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole, _ = result(TINY, context(tmp_path, "whole"))
    first = context(tmp_path, "broken")
    progress = first.reporter.progress

    def stop(step: int, *values: Any) -> None:
        progress(step, *values)
        first.stop.requested = step == 2

    first.reporter.progress = stop  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        train_saliency(TINY, first)
    broken, summary = result(TINY, context(tmp_path, "broken", resume=True))
    assert summary["resumed_at_step"] == 2
    assert all(torch.equal(tensor, broken[name]) for name, tensor in whole.items())


def test_unusable_data_fails_the_run_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CGN_DATA_DIR", str(tmp_path))
    with pytest.raises(RunError, match=r"CGN_DATA_DIR: there is no folder .*textures; put the file there"):
        train_saliency(TINY, context(tmp_path))


def test_the_judge_of_masks_finds_digits_in_unseen_images() -> None:
    judge = train_judge("wildlife_mnist", torch.device("cpu"), steps=120)
    assert judge.iou > 0.7
    unseen = make_variant("wildlife_mnist", "validation", limit=200)
    masks = judge.masks(unseen.images, unseen.labels)
    assert masks.dtype == torch.bool
    assert float(mask_iou(masks.float(), unseen.masks[:, None]).mean()) > 0.7


def test_a_start_model_can_be_served_and_trained(tmp_path: Path) -> None:
    biggan, saliency = context(tmp_path, "biggan"), context(tmp_path, "saliency")
    train_biggan(TrainBigganConfig(ch=8, z_dim=16, steps=2, batch_size=8, train_images=100), biggan)
    config = StartImagenetConfig(biggan=str(biggan.run_dir), saliency=str(saliency.run_dir))
    with pytest.raises(RunError, match=r"saliency: .* must be the directory of a finished train_saliency"):
        start_imagenet(config, context(tmp_path, "v1"))
    weights, _ = result(TINY, saliency)
    published = start_imagenet(config, context(tmp_path, "v1"))
    model = checkpoint.load(tmp_path / "models", published.model_name)
    assert (model.card.family, model.card.resolution, model.card.latent_size) == ("imagenet", 32, 16)
    assert model.card.training["biggan"]["config"]["ch"] == 8
    assert "not yet trained as a CGN" in model.card.notes[0]
    factors = [Factor(label, seed=label, truncation=0.5) for label in range(3)]
    pre_mask = model.rows("shape", factors)[:, 1:]
    assert torch.equal(pre_mask, model.rows("texture", factors))
    assert torch.equal(pre_mask, model.rows("background", factors))
    assert torch.equal(pre_mask, model.rows("reference", factors))
    trained, _ = checkpoint.load_trained_of(FAMILY, tmp_path / "models", published.model_name)
    state = trained.u2net.state_dict()
    assert all(
        torch.equal(state[name], tensor) for name, tensor in weights.items() if "num_batches" not in name
    )
    with pytest.raises(RunError, match="never changes"):
        start_imagenet(config, context(tmp_path, "v1"))
    # The same run, killed between publishing and reporting, succeeds when resumed.
    assert start_imagenet(config, context(tmp_path, "v1", resume=True)) == published
