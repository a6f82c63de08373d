"""Stripes and veins drawn by numpy in place of photographs: seeded, RGB uint8 [side, side, 3].

Every class has its own colours, orientation and scale, so that a crop of 32 pixels identifies it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Stripes:
    """Bands of one colour on another, bent by noise."""

    ground: Colour
    band: Colour
    angle: float  # degrees from upright
    period: float  # pixels
    bend: float  # pixels that the noise displaces a band
    share: float  # of a period that the band covers, 0 to 1


@dataclass(frozen=True)
class Veins:
    """A net of veins between the cells of a bent Voronoi diagram, with one strong vein across."""

    leaf: Colour
    vein: Colour
    angle: float  # degrees from upright, of the strong vein
    cell: float  # pixels between cell centres
    stretch: float  # length of a cell along the strong vein, 1 = round
    width: float  # pixels


STRIPES = (
    Stripes((62, 18, 10), (247, 232, 170), 75, 22, 7, 0.25),
    Stripes((214, 226, 236), (247, 158, 22), 20, 20, 4, 0.40),
    Stripes((206, 120, 40), (44, 24, 16), 5, 13, 5, 0.35),
    Stripes((226, 40, 92), (28, 12, 24), 100, 12, 6, 0.45),
    Stripes((70, 150, 232), (150, 206, 60), 70, 11, 3, 0.45),
    Stripes((245, 245, 240), (16, 16, 18), 140, 10, 5, 0.50),
    Stripes((236, 206, 160), (92, 48, 24), 165, 16, 7, 0.30),
    Stripes((110, 84, 170), (232, 196, 244), 45, 8, 2, 0.40),
    Stripes((222, 170, 152), (178, 92, 84), 0, 9, 1, 0.50),
    Stripes((250, 220, 10), (20, 18, 10), 30, 24, 6, 0.50),
)

VEINS = (
    Veins((66, 152, 34), (196, 232, 140), 40, 15, 1.5, 1.5),
    Veins((104, 30, 34), (176, 110, 110), 110, 20, 1.0, 1.3),
    Veins((62, 110, 110), (170, 204, 196), 10, 11, 1.0, 1.6),
    Veins((176, 214, 70), (120, 20, 50), 60, 24, 1.8, 2.2),
    Veins((190, 84, 32), (248, 206, 110), 155, 17, 1.2, 1.5),
    Veins((214, 206, 60), (40, 52, 10), 95, 9, 1.3, 1.2),
    Veins((84, 72, 160), (250, 200, 40), 130, 26, 3.0, 2.4),
    Veins((24, 68, 34), (130, 90, 60), 25, 10, 1.8, 1.4),
    Veins((34, 160, 206), (44, 74, 104), 50, 14, 1.6, 1.5),
    Veins((30, 50, 92), (198, 214, 120), 0, 12, 3.5, 1.8),
)


def draw_stripes(label: int, side: int) -> NDArray[np.uint8]:
    """Returns the stripes of class `label`, 0 to 9."""
    kind = STRIPES[label]
    rng = _rng(0, label)
    _, across = _axes(kind.angle, side)
    displaced = across + kind.bend * _noise(rng, side, 30) + 0.5 * _noise(rng, side, 4)
    # The width of bands varies along their length, as on an animal.
    threshold = np.cos(np.pi * kind.share) + 0.25 * _noise(rng, side, 18)
    wave = np.cos(2 * np.pi * displaced / kind.period)
    return _paint(rng, kind.ground, kind.band, _step((wave - threshold) * kind.period / 6))


def draw_veins(label: int, side: int) -> NDArray[np.uint8]:
    """Returns the veins of class `label`, 0 to 9."""
    kind = VEINS[label]
    rng = _rng(1, label)
    along, across = _axes(kind.angle, side)
    along = along / kind.stretch + 1.5 * _noise(rng, side, 8)
    across = across + 1.5 * _noise(rng, side, 8)
    nearest, second = _two_nearest(rng, along / kind.cell, across / kind.cell)
    # The distance to the border between two cells is half the difference of the distances to their centres.
    net = _step((kind.width - (second - nearest) * kind.cell) / 2)
    strong = _step(0.8 * kind.width - np.abs(across - 6 * _noise(rng, side, 40)))
    # Cells bulge: darker towards their veins.
    bulge = 1 - 0.25 * np.clip(nearest, 0, 1)
    return _paint(rng, kind.leaf, kind.vein, np.maximum(0.85 * net, strong), bulge)


def _rng(kind: int, label: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([kind, label])))


def _axes(angle: float, side: int) -> tuple[Field, Field]:
    """Returns coordinates in pixels, 0 in the middle, along and across a direction; angle: from upright."""
    y, x = np.indices((side, side)) - (side - 1) / 2
    turn = np.deg2rad(angle)
    return x * np.sin(turn) + y * np.cos(turn), x * np.cos(turn) - y * np.sin(turn)


def _two_nearest(rng: np.random.Generator, x: Field, y: Field) -> tuple[Field, Field]:
    """Returns the distances of (x, y) to the two nearest of random points, one per unit square."""
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    left, top = column.min() - 2, row.min() - 2
    jitter = rng.uniform(0.05, 0.95, (column.max() - left + 3, row.max() - top + 3, 2))
    nearest = second = np.full(x.shape, np.inf)
    for i in range(-2, 3):  # both are at most two squares away
        for j in range(-2, 3):
            point = jitter[column + i - left, row + j - top]
            distance = np.hypot(column + i + point[..., 0] - x, row + j + point[..., 1] - y)
            second = np.minimum(second, np.maximum(nearest, distance))
            nearest = np.minimum(nearest, distance)
    return nearest, second


def _noise(rng: np.random.Generator, side: int, scale: float) -> Field:
    """Returns smooth noise with structures of about `scale` pixels, mean 0 and variance 1."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) * np.exp(-((frequency * scale) ** 2) * 2)
    noise = np.fft.irfft2(spectrum, s=(side, side))
    scaled: Field = (noise - noise.mean()) / noise.std()
    return scaled


def _step(distance: Field) -> Field:
    """Returns a smooth step from 0 to 1 over about two pixels around distance 0, an antialiased edge."""
    return 1 / (1 + np.exp(-3 * np.clip(distance, -10, 10)))


def _paint(
    rng: np.random.Generator, under: Colour, over: Colour, amount: Field, shade: Field | float = 1.0
) -> NDArray[np.uint8]:
    """Returns `over` painted on `under`, with uneven light and fine grain."""
    side = len(amount)
    light = shade * (1 + 0.08 * _noise(rng, side, 35)) + 0.035 * _noise(rng, side, 1.5)
    mixed = amount[..., None] * np.array(over) + (1 - amount[..., None]) * np.array(under)
    painted: NDArray[np.uint8] = np.clip(np.rint(mixed * light[..., None]), 0, 255).astype(np.uint8)
    return painted
