"""Cells of the paper's ImageNet model, on small models of its family: scores, figures, what is missing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cgn.errors import CgnInputError
from cgn.factors import Factor
from cgn.images.model_sheets import interpolation_sheet
from cgn.images.pixels import to_uint8
from cgn.images.sheets import CAPTION_HEIGHT, GAP, HEADLINE_HEIGHT, MARGIN, SCALE
from cgn.store import checkpoint
from testing.random_model import ANIMALS, publish_random_imagenet
from tests.trainer.mnist.test_runs import context
from trainer.classifier.network import Classifier
from trainer.reproduce.catalog import planned, selected
from trainer.reproduce.cell.cell import command, digest
from trainer.reproduce.cell.files import Results
from trainer.reproduce.imagenet.cell import imagenet_cell
from trainer.reproduce.imagenet.config import ImagenetCellConfig
from trainer.run.context import RunContext, RunError, Stopped


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a small model."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    publish_random_imagenet(root, "mine")
    return root


@pytest.fixture
def where(tmp_path: Path, published: Path) -> RunContext:
    """RunContext with that model, and a folder `weights` with a classifier of its classes."""
    result = replace(context(tmp_path), models_dir=published)
    (tmp_path / "weights").mkdir()
    torch.manual_seed(0)
    torch.save(Classifier(len(ANIMALS), 32).state_dict(), tmp_path / "weights" / "inception_v3.pth")
    return result


def mine(tmp_path: Path, cell: str) -> ImagenetCellConfig:
    return ImagenetCellConfig(cell=cell, weights=str(tmp_path / "weights"), model_name="mine", images=20)


def result(where: RunContext) -> dict[str, object]:
    result: dict[str, object] = json.loads((where.run_dir / "cell.json").read_text())
    return result


def test_a_cell_without_weights_says_what_is_missing_and_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"needs cgn.pth and inception_v3.pth in a folder that WEIGHTS names"):
        imagenet_cell(ImagenetCellConfig(), context(tmp_path))
    (tmp_path / "cgn.pth").touch()
    with pytest.raises(RunError, match=r"needs inception_v3.pth in .*download.pytorch.org") as caught:
        imagenet_cell(ImagenetCellConfig(weights=str(tmp_path)), context(tmp_path))
    assert "autonomousvision" not in str(caught.value)
    with pytest.raises(RunError, match=r"the cell needs cgn.pth in .*autonomousvision"):
        imagenet_cell(ImagenetCellConfig(cell="figures/classes"), context(tmp_path))
    with pytest.raises(CgnInputError, match=r"cgn.pth"):  # the empty file of above
        imagenet_cell(ImagenetCellConfig(cell="figures/classes", weights=str(tmp_path)), context(tmp_path))


def test_table_1_has_the_score_of_composites_and_their_masks(tmp_path: Path, where: RunContext) -> None:
    imagenet_cell(mine(tmp_path, "table1/cgn"), where)
    scores = result(where)["scores"]
    assert isinstance(scores, dict)
    assert 1 <= scores["inception_score"] <= len(ANIMALS) and scores["images"] == 20
    assert 0 < scores["mu_mask"] < 1 and scores["mu_mask_deviation"] >= 0


def test_the_upper_bound_is_the_score_of_the_cgan(tmp_path: Path, where: RunContext) -> None:
    imagenet_cell(mine(tmp_path, "table1/biggan"), where)
    reference = result(where)["scores"]
    assert isinstance(reference, dict)
    assert set(reference) == {"images", "inception_score"}


def test_a_stopped_score_goes_on_to_the_same_numbers(tmp_path: Path, where: RunContext) -> None:
    config = mine(tmp_path, "table1/cgn")
    imagenet_cell(config, where)
    whole = result(where)["scores"]
    where.stop.requested = True
    with pytest.raises(Stopped):
        imagenet_cell(config, where)
    with np.load(where.run_dir / "scored.npz") as entries:
        assert 0 < len(entries["means"]) < config.images
    where.stop.requested = False
    imagenet_cell(config, replace(where, resume=True))
    assert result(where)["scores"] == whole


def test_failures_are_a_cell_with_pictures_of_the_worst(tmp_path: Path, where: RunContext) -> None:
    imagenet_cell(replace(mine(tmp_path, "figures/failures"), causes=2), where)
    worst = result(where)["worst"]
    assert isinstance(worst, list)
    assert len(worst) == len(ANIMALS) == len(list(where.run_dir.glob("cell-*.png")))


def test_figures_of_imagenets_classes_need_them(tmp_path: Path, where: RunContext) -> None:
    with pytest.raises(CgnInputError, match="no class name begins with 'jay'"):
        imagenet_cell(mine(tmp_path, "figures/classes"), where)


def test_an_interpolation_goes_from_one_class_and_noise_to_the_other(where: RunContext) -> None:
    model = checkpoint.load(where.models_dir, "mine")
    sheet = interpolation_sheet(model, "texture", [(0, 3)], seed=5, columns=4)
    ends = to_uint8(model.rows("texture", [Factor(0, seed=5), Factor(3, seed=6)]).permute(0, 2, 3, 1).numpy())
    cell = 32 * SCALE
    top = MARGIN + HEADLINE_HEIGHT + CAPTION_HEIGHT
    for pixels, column in zip(ends, (0, 3), strict=True):
        left = sheet.width - MARGIN - (4 - column) * (cell + GAP)
        shown = np.asarray(sheet.crop((left, top, left + cell, top + cell)).resize((32, 32), 0))
        np.testing.assert_array_equal(shown, pixels)


def test_cells_of_weights_are_made_only_where_they_are_asked_for(tmp_path: Path) -> None:
    assert not [cell for cell in planned() if isinstance(cell, ImagenetCellConfig)]
    assert [cell.key for cell in selected("imagenet/table1/*")] == [
        "imagenet/table1/biggan/0",
        "imagenet/table1/cgn/0",
    ]
    (cell,) = selected("imagenet/table1/cgn/3")
    assert isinstance(cell, ImagenetCellConfig)
    elsewhere = replace(cell, weights="/some/where")
    assert digest(cell) == digest(elsewhere) != digest(replace(cell, seed=4))
    assert command(elsewhere) == "make reproduce CELL=imagenet/table1/cgn/3 WEIGHTS=/some/where"
    path = Results(tmp_path).path(replace(cell, model_name="ablation", model_version="v2"))
    assert path == tmp_path / "cells/imagenet/table1/cgn/ablation@v2-3.json"
