"""Images of one object each, with true masks, drawn by numpy: training data for a saliency network.

Ellipses, polygons, blobs, rings and thick curves are filled with one texture and put on another. Each texture
can be figure or ground, with new colours and a new scale each time. So neither texture nor colour identifies
the object; only figure and ground do. No object is modelled on a digit, though a ring resembles a 0 and a
straight curve a 1.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LEAST_SHARE, MOST_SHARE = 0.04, 0.45  # of the image that an object covers
SOFTEST_EDGE = 2.0  # highest width of the edge between object and ground, in pixels
SMALLEST_CROP, LARGEST_CROP = 0.6, 2.0  # side of a texture's crop, relative to the image's side

Field = NDArray[np.float64]
# Draws an object: (coordinates down and right in pixels, 0 in the middle; the image's side; random numbers)
# -> about how far each pixel is inside the object, in pixels; negative outside.
Draw = Callable[[Field, Field, int, np.random.Generator], Field]


class Objects:
    """An endless stream of images; image i depends on textures, side, seed and i alone.

    Args:
        textures: uint8 [K, H, W, 3], two or more, each of LARGEST_CROP * side pixels a side or more.
        side: height and width of the images in pixels.
        seed: 0 or more; streams with different seeds have no image in common.
    """

    def __init__(self, textures: NDArray[np.uint8], side: int, seed: int) -> None:
        self._textures = [Image.fromarray(texture) for texture in textures]
        self._side, self._seed = side, seed
        self._down, self._right = np.indices((side, side)) - (side - 1) / 2

    def pictures(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Returns images ``start`` to ``stop - 1``, [N, 3, S, S] in [-1, 1], and masks, bool [N, S, S]."""
        images = np.empty((stop - start, 3, self._side, self._side), np.float32)
        masks = np.empty((stop - start, self._side, self._side), np.bool_)
        for place, number in enumerate(range(start, stop)):
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self._seed, number])))
            images[place], masks[place] = self._picture(rng)
        return images, masks

    def _picture(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        within = self._object(rng)
        figure, ground = rng.choice(len(self._textures), 2, replace=False)
        amount = np.clip(within / rng.uniform(0.01, SOFTEST_EDGE) + 0.5, 0, 1)
        mixed = amount * self._texture(figure, rng) + (1 - amount) * self._texture(ground, rng)
        return mixed.astype(np.float32), within > 0

    def _object(self, rng: np.random.Generator) -> Field:
        """Draws an object of acceptable size; returns how far each pixel is inside it."""
        while True:
            draw = OBJECTS[rng.integers(len(OBJECTS))]
            down, right = (axis - self._side * rng.uniform(-0.15, 0.15) for axis in (self._down, self._right))
            turn = rng.uniform(0, 2 * np.pi)
            turned = np.cos(turn) * down - np.sin(turn) * right, np.sin(turn) * down + np.cos(turn) * right
            within = draw(*turned, self._side, rng)
            if LEAST_SHARE <= (within > 0).mean() <= MOST_SHARE:
                return within

    def _texture(self, number: int, rng: np.random.Generator) -> Field:
        """Returns a crop of a texture in changed colours: (3, S, S) in [-1, 1]."""
        texture = self._textures[number]
        crop = self._side * rng.uniform(SMALLEST_CROP, LARGEST_CROP)
        left, top = rng.uniform(0, 1, 2) * (np.array(texture.size) - crop)
        size = (self._side, self._side)
        scaled = texture.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + crop, top + crop))
        colours = np.rot90(np.asarray(scaled, np.float64) / 127.5 - 1, int(rng.integers(4))).transpose(
            2, 0, 1
        )
        # Channels are permuted, contrast is reduced or inverted, and each channel gets lighter or darker.
        contrast = rng.uniform(0.5, 1.0, (3, 1, 1)) * rng.choice([-1, 1])
        return np.clip(contrast * colours[rng.permutation(3)] + rng.uniform(-0.4, 0.4, (3, 1, 1)), -1, 1)


def _ellipse(down: Field, right: Field, side: int, rng: np.random.Generator) -> Field:
    high, wide = side * rng.uniform(0.08, 0.42, 2)
    return (1 - np.hypot(down / high, right / wide)) * min(high, wide)


def _polygon(down: Field, right: Field, side: int, rng: np.random.Generator) -> Field:
    """A convex polygon with three to six sides."""
    corners = int(rng.integers(3, 7))
    angles = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.25, 0.25, corners)) / corners
    away = side * rng.uniform(0.12, 0.34, corners)
    along = np.cos(angles)[:, None, None] * down + np.sin(angles)[:, None, None] * right
    return (away[:, None, None] - along).min(0)


def _blob(down: Field, right: Field, side: int, rng: np.random.Generator) -> Field:
    """A circle with a wavy radius."""
    angle = np.arctan2(down, right)
    waves = np.arange(2, 6)
    swell = rng.uniform(0, 0.9, len(waves)) / waves
    phase = rng.uniform(0, 2 * np.pi, len(waves))
    bent = swell[:, None, None] * np.cos(waves[:, None, None] * angle + phase[:, None, None])
    return side * rng.uniform(0.15, 0.33) * (1 + bent.sum(0)) - np.hypot(down, right)


def _ring(down: Field, right: Field, side: int, rng: np.random.Generator) -> Field:
    high, wide = side * rng.uniform(0.15, 0.4, 2)
    from_rim = (1 - np.hypot(down / high, right / wide)) * min(high, wide)
    return side * rng.uniform(0.03, 0.09) - np.abs(from_rim)


def _curve(down: Field, right: Field, side: int, rng: np.random.Generator) -> Field:
    """A band along one cubic Bézier curve."""
    points = side * rng.uniform(-0.45, 0.45, (4, 2))
    t = np.linspace(0, 1, 2 * side)[:, None]
    weights = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
    line = sum((weight * point for weight, point in zip(weights, points, strict=True)), np.zeros(2))
    square = ((down - line[:, :1, None]) ** 2 + (right - line[:, 1:, None]) ** 2).min(0)
    return side * rng.uniform(0.03, 0.1) - np.sqrt(square)


OBJECTS: tuple[Draw, ...] = (_ellipse, _polygon, _blob, _ring, _curve)
