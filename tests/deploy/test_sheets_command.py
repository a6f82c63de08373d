"""`make sheets`: sheets of a published model, and the paper's labels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgn.factors import Factor
from cgn.families.imagenet.classes import class_names
from cgn.images.label_triples import FIGURES_8_TO_19, PRESETS
from cgn.images.pixels import compose_uint8, to_uint8
from cgn.images.sheets import CAPTION_HEIGHT, GAP, HEADLINE_HEIGHT, MARGIN, SCALE
from cgn.noise import MECHANISMS
from cgn.store import checkpoint
from deploy.sheets import main
from testing.random_model import ANIMALS, publish_random, publish_random_imagenet

CELL = 32 * SCALE


def sheets(folder: Path, *arguments: str) -> dict[str, Image.Image]:
    out = folder / "out"
    assert main([*arguments, "--models-dir", str(folder / "models"), "--out", str(out)]) == 0
    return {str(path.relative_to(out)): Image.open(path) for path in sorted(out.glob("*/*.png"))}


def tile(sheet: Image.Image, row: int, column: int, columns: int) -> np.ndarray:
    """Returns the pixels of an image on a sheet where only the first row has captions, of one line."""
    left = sheet.width - MARGIN - (columns - column) * (CELL + GAP)
    top = MARGIN + HEADLINE_HEIGHT + CAPTION_HEIGHT + row * (CELL + GAP)
    cut = sheet.crop((left, top, left + CELL, top + CELL))
    return np.asarray(cut.resize((32, 32), Image.Resampling.NEAREST))


def test_a_class_sheet_shows_each_mechanism(tmp_path: Path) -> None:
    publish_random(tmp_path / "models", "mine")
    drawn = sheets(tmp_path, "mine", "--classes", "seven", "3", "--noises", "4")
    assert list(drawn) == ["mine/class_3_three.png", "mine/class_7_seven.png"]
    model = checkpoint.load(tmp_path / "models", "mine")
    factor = Factor(7, seed=2)
    m, f, b = (to_uint8(model.rows(name, [factor])[0].permute(1, 2, 0).numpy()) for name in MECHANISMS)
    expected = [np.broadcast_to(m, f.shape), f, b, compose_uint8(m, f, b)]
    for row, pixels in enumerate(expected):
        np.testing.assert_array_equal(tile(drawn["mine/class_7_seven.png"], row, 2, 4), pixels)


def test_an_imagenet_sheet_has_pre_masks_and_optionally_the_reference(tmp_path: Path) -> None:
    publish_random_imagenet(tmp_path / "models", "mine")
    plain = sheets(tmp_path, "mine", "--noises", "2")
    assert len(plain) == len(ANIMALS)
    more = sheets(tmp_path, "mine", "--noises", "2", "--classes", "otter", "--reference")
    name = "mine/class_0_otter.png"
    assert more[name].height - plain[name].height == CELL + GAP


def test_counterfactuals_of_given_and_of_random_labels(tmp_path: Path) -> None:
    publish_random(tmp_path / "models", "mine")
    drawn = sheets(tmp_path, "mine", "--triples", "one,two,three; four,5,six", "--random", "7")
    assert list(drawn) == ["mine/counterfactuals_given.png", "mine/counterfactuals_random.png"]
    assert (
        drawn["mine/counterfactuals_random.png"].height
        > 3 * CELL
        > drawn["mine/counterfactuals_given.png"].height
    )
    pixels = {name: np.asarray(sheet) for name, sheet in drawn.items()}
    for name, sheet in sheets(tmp_path, "mine", "--triples", "1,2,3; 4,5,6", "--random", "7").items():
        np.testing.assert_array_equal(np.asarray(sheet), pixels[name])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--triples", "one,two"], '--triples: must be figure24 or reproduction, or "shape,texture'),
        (["--triples", "figure24"], "--triples: no class name begins with 'school bus'"),
        (["--classes", "10"], "--classes: 10 is out of range [0, 9]"),
        (["--truncation", "0.5"], "--truncation: models of family mnist do not support it"),
        (["--out", "/dev/null/x"], "--out: [Errno 20] Not a directory"),
    ],
)
def test_invalid_requests_are_reported(tmp_path: Path, capsys, arguments: list[str], says: str) -> None:
    publish_random(tmp_path / "models", "mine")
    assert main(["mine", "--models-dir", str(tmp_path / "models"), "--out", str(tmp_path), *arguments]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--truncation", "7"], "--truncation: must be above 0, at most 1, is '7'"),
        (["--seed", "-1"], "--seed: must be 0 to 2^64 - 1, is '-1'"),
        (["--noises", "many"], "--noises: must be 1 to 1000, is 'many'"),
    ],
)
def test_errors_of_numbers_name_the_range(capsys, arguments: list[str], says: str) -> None:
    with pytest.raises(SystemExit):
        main(["mine", *arguments])
    assert says in capsys.readouterr().err


def test_published_labels_are_classes_of_imagenet() -> None:
    names = class_names()
    for columns, triples in PRESETS.values():
        assert len(triples) % columns == 0
        assert {name for triple in triples for name in triple} <= set(names)
    assert set(FIGURES_8_TO_19) <= set(names)
    assert len(FIGURES_8_TO_19) == 12
