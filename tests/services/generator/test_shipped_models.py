"""The shipped models draw what their cards and labels promise."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from cgn.data import VARIANTS, make_variant
from cgn.data.variants import COLORED_PALETTE, OBJECT_PALETTE
from cgn.factors import Factor
from cgn.model import CGN
from cgn.noise import Mechanism
from cgn.store import checkpoint
from common.settings import REPO
from tests.shipped import SHIPPED

SEEDS = range(64)
PALETTES = {"colored_mnist": COLORED_PALETTE, "double_colored_mnist": OBJECT_PALETTE}

every_model = pytest.mark.parametrize("name", VARIANTS)


@cache
def model(name: str) -> CGN:
    return checkpoint.load(REPO / "models", name, SHIPPED[name])


@cache
def rows(name: str, mechanism: Mechanism) -> NDArray[np.float32]:
    """[10 classes, 64 seeds, channels, 32, 32]"""
    factors = [[Factor(label, seed) for seed in SEEDS] for label in range(10)]
    drawn: NDArray[np.float32] = np.stack([model(name).rows(mechanism, row).numpy() for row in factors])
    return drawn


@cache
def true_masks() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Masks [N, 1024] of real digits, and their classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CGN_DATA_DIR", "")
        digits = make_variant("wildlife_mnist", "train", limit=2000)
    return digits.masks.reshape(len(digits.masks), -1).numpy().astype(np.float32), digits.labels.numpy()


@every_model
def test_the_model_is_trained_and_its_masks_are_within_bounds(name: str) -> None:
    card = model(name).card
    assert card.trained and (card.name, card.version) == (name, SHIPPED[name])
    masks = rows(name, "shape")
    for bounds, mu_mask in zip(card.mask_bounds, masks.mean(axis=(1, 2, 3, 4)), strict=True):
        assert bounds.lowest < mu_mask < bounds.highest
    assert ((masks > 0.1) & (masks < 0.9)).mean() < 0.25


@every_model
def test_a_shape_is_the_requested_digit(name: str) -> None:
    known, classes = true_masks()
    followed = 0
    for label, masks in enumerate(rows(name, "shape").reshape(10, len(SEEDS), -1)):
        distances = (known**2).sum(1) - 2 * masks @ known.T  # squared, up to a constant for each mask
        nearest = classes[distances.argmin(axis=1)]
        followed += np.bincount(nearest, minlength=10).argmax() == label
    assert followed >= 8


@pytest.mark.parametrize("name", PALETTES)
def test_a_texture_has_the_requested_colour(name: str) -> None:
    # Only inside the mask: elsewhere the foreground is never visible.
    masks, foregrounds = rows(name, "shape"), (rows(name, "texture") + 1) / 2
    colours = (masks * foregrounds).sum(axis=(1, 3, 4)) / masks.sum(axis=(1, 3, 4))
    nearest = np.linalg.norm(colours[:, None] - PALETTES[name], axis=-1).argmin(axis=1)
    assert (nearest == np.arange(10)).sum() >= 9
