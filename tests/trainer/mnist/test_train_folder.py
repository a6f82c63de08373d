"""A CGN of a user's own images, and the style loss that needs a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cgn.data import DataError
from cgn.data.folder import load_folder
from cgn.errors import CgnInputError
from cgn.store import checkpoint
from tests.trainer.mnist.test_runs import context
from trainer.mnist.config import TrainCgnConfig
from trainer.mnist.train import train_cgn
from trainer.run.context import RunError

SMALL: dict[str, Any] = {"steps": 2, "batch_size": 4, "publish_collapsed": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of a dozen images each."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    for name in ("ant", "bee", "cow"):
        (tmp_path / "my images" / name).mkdir(parents=True)
        for i in range(12):
            pixels = random.integers(0, 256, (40, 48, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "my images" / name / f"{i}.png")
    return tmp_path / "my images"


@pytest.mark.parametrize("resolution", [32, 64])
def test_a_folder_of_images_gives_a_model_with_its_classes(
    tmp_path: Path, folder: Path, resolution: int
) -> None:
    config = TrainCgnConfig(dataset="folder", folder=str(folder), resolution=resolution, **SMALL)
    train_cgn(config, context(tmp_path))
    model = checkpoint.load(tmp_path / "models", "my_cgn")
    assert model.card.class_names == ["ant", "bee", "cow"] and model.card.resolution == resolution
    assert len(model.card.mask_bounds) == len(model.card.mask_soft) == 3
    assert any(note.startswith("the masks of all 3 classes have") for note in model.card.notes)
    assert f"--folder '{folder}'" in model.card.training["command"]


def test_a_folder_that_cannot_be_used_is_one_line_that_says_so(tmp_path: Path) -> None:
    config = TrainCgnConfig(dataset="folder", folder=str(tmp_path / "nowhere"), **SMALL)
    with pytest.raises(RunError, match="nowhere"):
        train_cgn(config, context(tmp_path))


def test_an_image_that_only_the_classifier_would_read_is_told_before_a_step(
    tmp_path: Path, folder: Path
) -> None:
    train = load_folder(str(folder), "train", 32)[3]["count_by_class"]
    assert train["ant"] < 12
    for path in (folder / "ant").iterdir():  # the first of them that is held out
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        try:
            load_folder(str(folder), "train", 32)
            break
        except DataError:
            path.write_bytes(data)
    config = TrainCgnConfig(dataset="folder", folder=str(folder), **SMALL)
    with pytest.raises(RunError, match=f"{path.name} is no readable PNG or JPEG"):
        train_cgn(config, context(tmp_path))


def test_vgg16_without_its_weights_is_refused_before_a_step(tmp_path: Path, folder: Path) -> None:
    more: dict[str, Any] = {"style": "vgg16", "vgg16_weights": str(tmp_path / "none.pth")}
    config = TrainCgnConfig(dataset="folder", folder=str(folder), **more, **SMALL)
    with pytest.raises(CgnInputError, match="vgg16_weights: there is no file"):
        train_cgn(config, context(tmp_path))
    assert not (tmp_path / "models").exists()
