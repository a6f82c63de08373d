"""ImageNet's miniature through `make reproduce`, every training cut to two steps."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cgn.store import checkpoint
from trainer.reproduce.__main__ import main
from trainer.reproduce.cell.files import Results
from trainer.reproduce.miniature.config import MiniatureCellConfig as Cell
from trainer.run.exit_codes import BAD_OPTIONS, FAILED, SUCCEEDED

TINY = ("--steps", "2", "--images-seen", "128")


@pytest.fixture(autouse=True)
def _bundled_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    torch.set_num_threads(1)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_row_trains_its_teacher_first_and_says_where_its_numbers_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--work-dir", str(tmp_path))
    assert main(["--cell", "imagenet/miniature/without_bg/1", *TINY, *where]) == SUCCEEDED
    said = capsys.readouterr().out
    assert "[1/2] imagenet/miniature/teacher/1: inception score" in said
    assert "[2/2] imagenet/miniature/without_bg/1: inception score" in said
    results = Results(tmp_path / "trials")
    row, teacher = (
        results.read(Cell(row=name, seed=1, steps=2, images_seen=128)) for name in ("without_bg", "teacher")
    )
    assert row and teacher and row["trial"]
    assert row["model"] == teacher["model"] == teacher["cgn"] != row["cgn"]
    assert row["model"]["name"] == "imagenet_miniature_start-seed1"
    _, card = checkpoint.load_trained(tmp_path / "models", row["cgn"]["name"])
    assert card.digest == row["cgn"]["digest"] and card.training["settings"]["weight_background"] == 0
    assert set(row["seeds"].values()) == {1}
    assert set(row["costs"]) == {"train_imagenet", "score"}
    assert set(teacher["costs"]) == {
        "train_biggan", "train_saliency", "train_classifier", "mask_judge", "score",
    }  # fmt: skip
    for cell in (row, teacher):
        assert cell["cpu_seconds"] == pytest.approx(
            sum(cost["cpu_seconds"] for cost in cell["costs"].values()), abs=0.1
        )
        scores = cell["scores"]
        assert 1 <= scores["inception_score"] <= 10
        assert all(0 <= scores[name] <= 1 for name in ("mu_mask", "mask_iou", "counterfactual_accuracy"))
        # Where no mechanism has learnt, the background is x_gt, but for two steps.
        if scores["background_behind"] is not None:
            assert scores["background_behind"] == pytest.approx(scores["picture_behind"], abs=0.05)
    picture = row["picture"]
    with Image.open(results.path(Cell(row="without_bg", seed=1)).with_suffix(".png")) as result:
        pixels = np.asarray(result)
    rows = len(picture["classes"]) * len(picture["parts"])
    assert pixels.shape == (rows * picture["tile"], len(picture["steps"]) * picture["tile"], 3)

    assert main(["--cell", "imagenet/miniature/full/1", *TINY, *where]) == SUCCEEDED
    assert "[1/1] imagenet/miniature/full/1" in capsys.readouterr().out  # of the same teacher
    full = json.loads(results.path(Cell(seed=1)).read_text())
    assert full["model"] == row["model"]


def test_cells_that_need_weights_say_so_and_the_miniature_takes_no_given_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--work-dir", str(tmp_path), "--results-dir", str(tmp_path / "results"))
    assert main(["--cell", "imagenet/table1/*", *where]) == FAILED
    said = capsys.readouterr()
    assert "imagenet/table1/cgn/0: failed: the cell needs cgn.pth and inception_v3.pth" in said.out
    assert not list((tmp_path / "results").glob("cells/*"))
    assert main(["--cell", "imagenet/miniature/full/0", "--model", "wildlife_mnist", *where]) == BAD_OPTIONS
    assert "cannot use a named CGN; leave MODEL out" in capsys.readouterr().err
