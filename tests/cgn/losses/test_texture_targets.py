"""Texture targets of L_text: they show the object and nothing of the background."""

import pytest
import torch
from torch import nn

from cgn.losses.texture_targets import GRID, PATCH_AT, patch_grids, patch_side, random_fills

RED, BLUE = torch.tensor([0.9, -0.8, -0.7]), torch.tensor([-0.9, -0.6, 0.8])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disc(radius: float, side: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """A red disc on blue, (1, 3, side, side), and its mask."""
    place = torch.arange(side) - side / 2 + 0.5
    m = ((place[:, None] ** 2 + place**2) < radius**2).float()[None, None]
    return m * RED.view(3, 1, 1) + (1 - m) * BLUE.view(3, 1, 1), m


def blue_share(x: torch.Tensor) -> float:
    """Share of a picture's pixels that are nearer to blue than to red."""
    to_red, to_blue = ((x - colour.view(3, 1, 1)).square().sum(1) for colour in (RED, BLUE))
    return float((to_blue < to_red).float().mean())


def test_the_sides_of_patches_are_in_proportion_to_the_picture() -> None:
    assert [patch_side(resolution) for resolution in (PATCH_AT, 128, 64, 32)] == [15, 8, 4, 3]


@pytest.mark.parametrize("halved", [False, True])
def test_a_patch_grid_has_the_object_s_texture_and_no_background(halved: bool) -> None:
    x, m = disc(16)
    assert blue_share(x) > 0.7
    grid = patch_grids(x, m, seeded(), side=4, halved=halved)
    assert grid.shape == x.shape
    assert blue_share(grid) == 0


def test_each_patch_is_a_random_one_of_the_best_windows() -> None:
    side, resolution = 4, GRID * 4  # so that the grid needs no scaling
    x = torch.rand(2, 3, resolution, resolution, generator=seeded(1)) * 2 - 1
    m = torch.rand(2, 1, resolution, resolution, generator=seeded(2))
    grid = patch_grids(x, m, seeded(3), side=side)
    means = nn.functional.avg_pool2d(m, side, stride=1).flatten(1)
    for picture in range(2):
        windows = nn.functional.unfold(x[picture : picture + 1], side)[0].T  # (windows, 3 * side * side)
        patches = nn.functional.unfold(grid[picture : picture + 1], side, stride=side)[0].T
        same = (patches[:, None] - windows).abs().amax(2) < 1e-4
        assert same.any(1).all()
        best = means[picture].topk(GRID**2).values.min()
        assert float(means[picture][same.nonzero()[:, 1]].min()) >= float(best)
        assert len(patches.unique(dim=0)) > GRID  # several different ones
    assert torch.equal(grid, patch_grids(x, m, seeded(3), side=side))
    assert not torch.equal(grid, patch_grids(x, m, seeded(4), side=side))


def test_patches_as_large_as_the_object_leave_out_the_background_of_small_ones() -> None:
    x, m = disc(3.5)
    usual, fitting = (
        blue_share(patch_grids(x, m, seeded(), side=12, by_object=by_object)) for by_object in (False, True)
    )
    assert usual > 0.4
    assert fitting < usual / 3


def test_a_picture_is_filled_with_its_object() -> None:
    x, m = disc(12)
    filled = random_fills(x, m, seeded())
    assert filled.shape == x.shape
    assert blue_share(x) > 0.8 and blue_share(filled) == 0
    x[:, :, 32] = 0.5 * x[:, :, 32]  # a line across the object, whose copies lie at other heights
    rows = (random_fills(x, m, seeded())[0, 0] - 0.5 * RED[0]).abs().amin(1) < 0.1
    assert int(rows.sum()) > 3
    nothing = torch.zeros_like(m)
    assert torch.equal(random_fills(x, nothing, seeded()), x)
