"""Sample sheets: of any number of classes, at any resolution."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from cgn.data import ImageSet
from cgn.families.mnist.family import build
from cgn.images.sheets import GAP, SCALE
from trainer.mnist.samples import MOST_COLUMNS, draw_samples


@pytest.mark.parametrize(("classes", "resolution"), [(2, 32), (7, 64), (40, 32)])
def test_a_sheet_has_a_column_per_class_as_far_as_they_fit(
    tmp_path: Path, classes: int, resolution: int
) -> None:
    torch.manual_seed(0)
    network = build({"width": 8}, classes, resolution)
    images = torch.rand(2 * classes, 3, resolution, resolution) * 2 - 1
    names = [f"a rather long name of class {label}" for label in range(classes)]
    labels = torch.arange(2 * classes) % classes
    data = ImageSet(images, labels, names, resolution, {"dataset": "folder"})
    path = draw_samples(tmp_path, network, data, step=5)
    assert path == tmp_path / "samples" / "step-0000005.png"
    width, height = Image.open(path).size
    cell = SCALE * resolution + GAP
    assert min(classes, MOST_COLUMNS) == (width - 146) // cell
    assert height > 8 * cell
    assert network.training  # as it was before
    again = draw_samples(tmp_path, network, data, step=6)
    assert Image.open(again).crop((0, 40, width, height)) == Image.open(path).crop((0, 40, width, height))
