"""Jitter: small changes of masks and colours, each image's own."""

import numpy as np
import pytest
import torch

from cgn.images.jitter import SHADE_NUMBERS, SHAPE_NUMBERS, STRONGEST_SHADE, jitter_shapes, shades

MIDDLE = 0.5  # of the numbers' range: no change


@pytest.fixture
def bar() -> torch.Tensor:
    """An upright bar of 18 x 10 pixels in the middle of a 32 x 32 mask."""
    m = torch.zeros(1, 1, 32, 32)
    m[..., 7:25, 11:21] = 1
    return m


def centre(m_HW: torch.Tensor) -> tuple[float, float]:
    down, right = m_HW.nonzero(as_tuple=True)
    return float(down.float().mean()), float(right.float().mean())


def test_middle_numbers_change_nothing(bar: torch.Tensor) -> None:
    assert torch.equal(jitter_shapes(bar, torch.full((1, SHAPE_NUMBERS), MIDDLE)), bar)
    assert not shades(torch.full((1, SHADE_NUMBERS), MIDDLE)).any()


def test_masks_stay_themselves_but_for_a_little(bar: torch.Tensor) -> None:
    torch.manual_seed(0)
    jittered = jitter_shapes(bar.expand(500, -1, -1, -1), torch.rand(500, SHAPE_NUMBERS))
    assert jittered.shape == (500, 1, 32, 32)
    assert set(jittered.unique().tolist()) == {0.0, 1.0}
    sizes = jittered.sum(dim=(1, 2, 3))
    assert 0.7 * 180 < sizes.min() < 160 < 200 < sizes.max() < 1.4 * 180
    assert sizes.mean() == pytest.approx(180, rel=0.05)
    overlap = (jittered * bar).sum(dim=(1, 2, 3))
    assert overlap.min() > 0.6 * 180
    centres = np.array([centre(m[0]) for m in jittered])
    assert np.abs(centres - 15.5).max() < 2
    assert len({tuple(m.flatten().tolist()) for m in jittered}) > 450


def test_every_number_has_a_part_in_it(bar: torch.Tensor) -> None:
    for number in range(SHAPE_NUMBERS):
        random = torch.full((1, SHAPE_NUMBERS), MIDDLE)
        random[0, number] = 0.99
        assert not torch.equal(jitter_shapes(bar, random), bar), number


def test_grey_edges_are_cut(bar: torch.Tensor) -> None:
    unchanged = torch.full((2, SHAPE_NUMBERS), MIDDLE)
    cut = jitter_shapes(torch.cat([0.4 * bar, 0.6 * bar]), unchanged)
    assert not cut[0].any()
    assert torch.equal(cut[1:], bar)


def test_shades_are_of_every_order_of_magnitude() -> None:
    torch.manual_seed(0)
    changes = shades(torch.rand(3000, SHADE_NUMBERS))
    assert changes.shape == (3000, 3, 1, 1)
    strongest = changes.abs().amax(dim=(1, 2, 3))
    assert strongest.max() <= STRONGEST_SHADE
    assert (strongest < 0.01).float().mean() > 0.15
    assert (strongest > 0.1).float().mean() > 0.15
    assert (changes > 0).float().mean() == pytest.approx(0.5, abs=0.03)
