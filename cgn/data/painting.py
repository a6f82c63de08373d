"""Paints digits as images: coloured ink, flat colours or crops of textures."""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

SIDE = 32
THRESHOLD = 0.1  # pixels with more ink than this belong to the digit
PADDING = 3  # pixels by which a texture is extended by reflection before a crop
CHUNK = 4_096  # images composed at once, to bound the temporary arrays

Colours = NDArray[np.float64]
Labels = NDArray[np.int64]

# Paints a slice of a set's images: (ink [n, 32, 32] in [0, 1], the slice) -> [n, 3, 32, 32] in [-1, 1].
Paint = Callable[[NDArray[np.float32], slice], NDArray[np.float32]]


def compose(grey: NDArray[np.uint8], paint: Paint) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Returns images [N, 3, 32, 32] and masks [N, 32, 32] of digits [N, 28, 28] (resized: nearest pixel)."""
    nearest = np.arange(SIDE) * grey.shape[1] // SIDE
    images = np.empty((len(grey), 3, SIDE, SIDE), np.float32)
    masks = np.empty((len(grey), SIDE, SIDE), np.bool_)
    for start in range(0, len(grey), CHUNK):
        part = slice(start, start + CHUNK)
        ink = grey[part, nearest[:, None], nearest].astype(np.float32) / np.float32(255)
        masks[part] = ink > THRESHOLD
        images[part] = paint(ink, part)
    return images, masks


def paint_soft(colours: Colours) -> Paint:
    """Returns a painter of coloured ink with soft edges on black. colours: [N, 3] in [0, 1]."""
    scaled = _channels(colours * 2)

    def paint(ink: NDArray[np.float32], part: slice) -> NDArray[np.float32]:
        return scaled[part] * ink[:, None] - np.float32(1)

    return paint


def paint_flat(foreground: Colours, ground: Colours) -> Paint:
    """Returns a painter of hard-edged digits of one colour on another. Both: [N, 3] in [0, 1]."""
    over, under = _channels(foreground * 2 - 1), _channels(ground * 2 - 1)

    def paint(ink: NDArray[np.float32], part: slice) -> NDArray[np.float32]:
        return np.where(ink[:, None] > THRESHOLD, over[part], under[part])

    return paint


class Crops:
    """One random crop of 32 x 32 per image, from its class's texture, extended by reflection."""

    def __init__(
        self, textures: NDArray[np.uint8], labels: Labels, chosen: Labels, rng: np.random.Generator
    ) -> None:
        """textures: [10, H, W, 3]; labels: [all]; chosen: indices [N] of the images that will be painted."""
        margin = (PADDING, PADDING)
        padded = np.pad(textures, ((0, 0), margin, margin, (0, 0)), mode="reflect").transpose(0, 3, 1, 2)
        self._windows = sliding_window_view(padded, (SIDE, SIDE), axis=(2, 3))  # a view, not all the crops
        corners = rng.integers(self._windows.shape[2:4], size=(len(labels), 2))
        self._labels, self._corners = labels[chosen], corners[chosen]

    def take(self, part: slice) -> NDArray[np.uint8]:
        """Returns the crops [n, 3, 32, 32] of a slice of the images."""
        top, left = self._corners[part].T
        return self._windows[self._labels[part], :, top, left]


def paint_crops(foreground: Crops, ground: Crops) -> Paint:
    """Returns a painter of hard-edged digits cut from one texture, on another."""

    def paint(ink: NDArray[np.float32], part: slice) -> NDArray[np.float32]:
        pixels = np.where(ink[:, None] > THRESHOLD, foreground.take(part), ground.take(part))
        return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)

    return paint


def _channels(colours: Colours) -> NDArray[np.float32]:
    """[N, 3] -> [N, 3, 1, 1]"""
    return colours.astype(np.float32)[:, :, None, None]
