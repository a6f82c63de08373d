"""The pictures of the docs: their content, and what they must not contain."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgn.data import textures
from cgn.images.sheets import CAPTION_HEIGHT, GAP, HEADLINE_HEIGHT, MARGIN, PAPER, SCALE, TITLE_WIDTH
from common.settings import REPO
from deploy import pictures
from testing.random_model import publish_random

CELL = 32 * SCALE


@pytest.fixture(autouse=True)
def _bundled_data(monkeypatch):
    monkeypatch.setenv("CGN_DATA_DIR", "")


def run_of(folder: Path, steps: range, classes: int = 10) -> Path:
    """A run directory as after training; the brightness of its masks is the step."""
    (folder / "samples").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"dataset": "colored_mnist"}))
    for step in steps:
        mask = np.full((classes, 32, 32, 1), step, np.uint8)
        colours = np.zeros((classes, 32, 32, 3), np.uint8)
        path = folder / "samples" / f"step-{step:07d}.npz"
        np.savez_compressed(path, mask=mask, foreground=colours, background=colours)
    return folder


def test_every_model_variant_and_run_gets_its_pictures(tmp_path, capsys):
    publish_random(tmp_path / "models", "mine")
    publish_random(tmp_path / "models", "mine", "v2", seed=1)
    run = run_of(tmp_path / "run", range(10, 40, 10))
    arguments = ["--out", str(tmp_path / "out"), "--models-dir", str(tmp_path / "models"), "--models", "mine"]
    arguments += ["--runs", str(run)]
    assert pictures.main(arguments) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    variants = {f"{variant}_mnist_data.png" for variant in ("colored", "double_colored", "wildlife")}
    assert names == variants | {
        "mine_mechanisms.png",
        "mine_counterfactuals.png",
        "colored_mnist_training.png",
    }
    assert len(capsys.readouterr().out.splitlines()) == len(names)
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    shutil.rmtree(tmp_path / "out")
    assert pictures.main(arguments) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first


def test_a_few_steps_from_first_to_last_show_the_training(tmp_path):
    dataset, sheet = pictures.training_sheet(run_of(tmp_path, range(1, 201)))
    assert dataset == "colored_mnist"
    # The masks of the first column, top to bottom, tell their steps.
    top = MARGIN + HEADLINE_HEIGHT + CAPTION_HEIGHT
    column = np.asarray(sheet)[top:, TITLE_WIDTH + CELL // 2, 0]
    steps = [value for value in dict.fromkeys(column.tolist()) if value != PAPER[0]]
    assert steps[0] == 1 and steps[-1] == 200
    assert len(steps) <= pictures.TRAINING_STEPS
    assert steps == sorted(steps)


def test_counterfactuals_never_combine_equal_colours():
    assert all((texture - background) % 10 != 6 for texture, background in pictures.AHEAD)
    assert all(texture % 10 and background % 10 for texture, background in pictures.AHEAD)


def test_a_sheet_of_data_has_four_rows_of_each_split():
    sheet, photographs = pictures.data_sheet("wildlife_mnist")
    assert not photographs
    assert sheet.width == TITLE_WIDTH + 10 * (CELL + GAP) + MARGIN
    assert sheet.height > 2 * MARGIN + HEADLINE_HEIGHT + 8 * CELL


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """A CGN_DATA_DIR with synthetic images instead of photographs of textures, and bundled digits."""
    for kind in ("object", "background"):
        folder = tmp_path / "data" / "textures" / kind
        folder.mkdir(parents=True)
        for label in range(10):
            Image.new("RGB", (150, 150), (20 * label, 0, 0)).save(folder / f"{label}_picture.jpg")
    monkeypatch.setattr("cgn.data.source.DOWNLOAD_DIR", tmp_path / "data")


def test_photographs_stay_out_of_the_docs(photographs, tmp_path, capsys):
    assert textures.load_textures().source == "download"
    docs = REPO / "docs" / "images" / "never"
    with pytest.raises(Exception, match="photographs"):
        list(pictures.draw_all(docs, tmp_path / "none", [], []))
    assert not (docs / "wildlife_mnist_data.png").exists()
    shutil.rmtree(docs, ignore_errors=True)
    written = list(pictures.draw_all(tmp_path / "elsewhere", tmp_path / "none", [], []))
    assert tmp_path / "elsewhere" / "wildlife_mnist_data.png" in written


@pytest.mark.parametrize("created", ["nothing", "config", "broken"])
def test_a_folder_without_a_run_gives_a_one_line_error(tmp_path, capsys, created):
    if created != "nothing":
        (tmp_path / "config.json").write_text('{"dataset": "colored_mnist"}' if created == "config" else "{")
    arguments = ["--out", str(tmp_path / "out"), "--runs", str(tmp_path)]
    assert pictures.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: run: ") and len(error.splitlines()) == 1
