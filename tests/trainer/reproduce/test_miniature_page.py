"""The ImageNet miniature in docs/results.md: its numbers and pictures come from the files of the cells."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.settings import REPO
from trainer.reproduce.cell.cell import digest
from trainer.reproduce.cell.files import Results
from trainer.reproduce.miniature import config as miniature
from trainer.reproduce.miniature import page as miniature_page
from trainer.reproduce.miniature.config import ABLATIONS, TEACHER
from trainer.reproduce.miniature.config import MiniatureCellConfig as Cell

PAGE = f"before\n{miniature_page.BEGIN}\nold\n{miniature_page.END}\nafter\n"
SIDE = 4  # pixels of a tile


def result(cell: Cell, **scores: float | None) -> dict[str, Any]:
    """A cell's file as a run writes it, with made-up numbers."""
    known: dict[str, float | None] = dict.fromkeys(miniature_page.ERRORS, 0.25)
    known |= {"inception_score": 6.0, "mu_mask": 0.2, "mu_mask_deviation": 0.05, "mask_iou": 0.7}
    return {
        "cell": cell.key,
        "digest": digest(cell),
        "trial": False,
        "model": {"digest": "of the start"},
        "scores": known | {"counterfactual_accuracy": 0.9} | scores,
        "cpu_seconds": 600.0,
        "machine": {"bfloat16": False, "cpu": "a CPU"},
        "data": {"digits": "full MNIST", "textures": "drawn"},
        "yardsticks": {
            "judge_iou": 0.95,
            "saliency_iou": {"objects": {"mean": 0.8}, "digits": {"mean": 0.6}},
            "classifier_test_accuracy": 0.93,
        },
        "picture": {
            "steps": [0, 5, 10],
            "classes": ["zero", "four"],
            "parts": ["pre_mask", "mask", "foreground", "background", "composite"],
            "tile": SIDE,
        },
    }


@pytest.fixture
def results(tmp_path: Path) -> Results:
    result = Results(tmp_path / "results")
    (tmp_path / miniature_page.PAGE).write_text(PAGE)
    return result


def test_collapse_is_told_row_by_row_and_where_ours_differs(results: Results, tmp_path: Path) -> None:
    numbers: dict[str, dict[str, float | None]] = {
        "without_text": {"mu_mask": 0.9, "mask_iou": 0.2, "picture_behind": None}
    }
    for row in (TEACHER, *ABLATIONS):
        results.write(Cell(row=row), result(Cell(row=row), **numbers.get(row, {})))
    miniature_page.write(results, tmp_path)
    page = (tmp_path / miniature_page.PAGE).read_text()
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
    lines = {line.split(":")[0]: line for line in page.splitlines() if line.startswith("- ")}
    assert (
        "masks collapse (μ_mask 0.900, IoU 0.200); in the paper they collapse (μ_mask 0.9)."
        in lines["- without L_text"]
    )
    assert "differs from" not in lines["- without L_text"]
    assert lines["- without L_bg"].endswith("**This differs from the paper.**")
    assert "differs from" not in lines["- without L_rec"]
    assert "no such row" in lines["- a discriminator in place of L_rec"]
    assert "| without L_text | 0.250 | 0.250 | – |" in page
    assert "| BigGAN | 6.00 | 0.200 ± 0.050 | 0.700 | 0.900 | 202.9 | – |" in page
    assert "together 70." in page and "Without bfloat16 (a CPU)" in page
    assert miniature_page.outdated(results) == []


def test_trials_and_missing_cells_are_no_results(results: Results, tmp_path: Path) -> None:
    results.write(Cell(steps=2), result(Cell(steps=2)) | {"trial": True})
    miniature_page.write(results, tmp_path)
    assert (tmp_path / miniature_page.PAGE).read_text() == PAGE
    assert miniature_page.pictures(results) == {}


def test_pictures_are_taken_from_the_cells(results: Results, tmp_path: Path) -> None:
    results.write(Cell(), result(Cell()))
    pixels = np.zeros((2, 5, SIDE, 3, SIDE, 3), np.uint8)  # class, part, y, step, x, channel
    pixels += np.arange(30, dtype=np.uint8).reshape(2, 5, 1, 3, 1, 1)
    Image.fromarray(pixels.reshape(2 * 5 * SIDE, 3 * SIDE, 3)).save(results.path(Cell()).with_suffix(".png"))
    miniature_page.write(results, tmp_path)
    page = (tmp_path / miniature_page.PAGE).read_text()
    assert all(f"](images/{name})" in page for name in (miniature_page.MASKS, miniature_page.MECHANISMS))
    with Image.open(tmp_path / "images" / miniature_page.MASKS) as sheet:
        levels = set(np.unique(np.asarray(sheet)).tolist())
    masks = {15 * i + 3 + step for i in range(2) for step in range(3)}
    assert masks <= levels
    with Image.open(tmp_path / "images" / miniature_page.MECHANISMS) as sheet:
        assert set(range(30)) <= set(np.unique(np.asarray(sheet)).tolist())


def test_a_cell_of_other_options_is_outdated(results: Results) -> None:
    results.write(Cell(), result(Cell()) | {"digest": "of old"})
    assert miniature_page.outdated(results) == ["imagenet/miniature/full/0"]


def test_all_rows_of_a_seed_begin_as_one_teacher_and_differ_in_what_they_leave_out() -> None:
    cells = [cell for cell in miniature.planned() if cell.row != TEACHER]
    assert {cell.model_cell for cell in cells} == {Cell(row=TEACHER)}
    options = {cell.row: cell.runs()["train_imagenet"] for cell in cells}
    for row, mine in options.items():
        differing = {name for name, value in mine.items() if value != options["full"][name]}
        assert differing == {"model_name", *ABLATIONS[row]} - ({"model_name"} if row == "full" else set())


def test_the_page_of_the_repository_has_the_marks() -> None:
    page = (REPO / "docs" / miniature_page.PAGE).read_text(encoding="utf-8")
    assert page.count(miniature_page.BEGIN) == 1
