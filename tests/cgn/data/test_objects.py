"""Drawn objects: every picture has one, and neither a texture nor a colour tells which it is."""

import numpy as np
import pytest

from cgn.data import load_textures
from cgn.data.objects import LEAST_SHARE, MOST_SHARE, OBJECTS, Objects


@pytest.fixture(autouse=True)
def procedural_textures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)


def textures() -> np.ndarray:
    textures = load_textures()
    return np.concatenate([textures.object, textures.background])


def flat(*levels: int) -> np.ndarray:
    """Textures of one grey each."""
    return np.stack([np.full((80, 80, 3), level, np.uint8) for level in levels])


@pytest.mark.parametrize("side", [32, 64])
def test_pictures_are_in_range_and_objects_neither_specks_nor_everything(side: int) -> None:
    images, masks = Objects(textures(), side, 0).pictures(0, 60)
    assert images.shape == (60, 3, side, side) and images.dtype == np.float32
    assert masks.shape == (60, side, side) and masks.dtype == np.bool_
    assert images.min() >= -1 and images.max() <= 1
    share = masks.mean((1, 2))
    assert share.min() >= LEAST_SHARE and share.max() <= MOST_SHARE
    assert share.std() > 0.05


def test_a_picture_depends_on_its_number_and_seed_alone() -> None:
    images, masks = Objects(textures(), 32, 3).pictures(0, 9)
    some, their_masks = Objects(textures(), 32, 3).pictures(4, 7)
    assert np.array_equal(images[4:7], some)
    assert np.array_equal(masks[4:7], their_masks)
    others, _ = Objects(textures(), 32, 4).pictures(0, 9)
    assert not any(np.array_equal(one, other) for one in images for other in others)


def test_the_mask_is_where_the_other_texture_is() -> None:
    images, masks = Objects(flat(0, 255), 32, 0).pictures(0, 100)
    figure = np.stack([image[:, mask].mean(1) for image, mask in zip(images, masks, strict=True)])
    ground = np.stack([image[:, ~mask].mean(1) for image, mask in zip(images, masks, strict=True)])
    # Of two flat colours each pixel is closer to its own side's, but for soft edges.
    closer = ((images - figure[:, :, None, None]) ** 2).sum(1) < (
        (images - ground[:, :, None, None]) ** 2
    ).sum(1)
    assert (closer == masks).mean() > 0.97


def test_neither_texture_is_the_object_s() -> None:
    images, masks = Objects(flat(0, 255), 32, 0).pictures(0, 400)
    lighter = [image[:, m].mean() > image[:, ~m].mean() for image, m in zip(images, masks, strict=True)]
    assert 0.4 < np.mean(lighter) < 0.6


@pytest.mark.parametrize("draw", OBJECTS)
def test_every_kind_of_object_differs_each_time(draw) -> None:
    down, right = np.indices((32, 32)) - 15.5
    random = np.random.default_rng(0)
    drawn = [draw(down, right, 32, random) > 0 for _ in range(30)]
    sound = [mask for mask in drawn if LEAST_SHARE <= mask.mean() <= MOST_SHARE]
    assert len(sound) > 10
    assert len({mask.tobytes() for mask in sound}) > 0.8 * len(sound)
