"""Rows as bytes: 8-bit levels, exact 8-bit composition, image files.

All arrays are row-major HWC, as in the API. Masks have one channel, colours three.
"""

import io
import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ImageFormat = Literal["png", "jpeg", "webp"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)
_VALUES_AT_ONCE = 1 << 16  # this many floats fit the processor's cache


def to_uint8(row: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns 8-bit levels: round(255 * m) of masks in [0, 1], round((v + 1) * 127.5) of colours.

    row: (..., H, W, C). C is 1 for a mask, 3 for colours in [-1, 1], 4 for a mask and its pre-mask.
    """
    levels = row + np.float32(1)
    levels *= np.float32(127.5)
    if row.shape[-1] != 3:
        levels[..., 0] = row[..., 0] * np.float32(255)
    np.rint(levels, out=levels)
    return np.clip(levels, 0, 255, out=levels).astype(np.uint8)


def rows_to_uint8(rows: Sequence[NDArray[np.float32]]) -> list[NDArray[np.uint8]]:
    """Returns to_uint8 of each row, as separate arrays; faster than one by one. Shapes may differ."""
    levels: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)] * len(rows)
    of_shape: dict[tuple[int, ...], list[int]] = {}
    for i, row in enumerate(rows):
        of_shape.setdefault(row.shape, []).append(i)
    for shape, alike in of_shape.items():
        at_once = max(1, _VALUES_AT_ONCE // math.prod(shape))
        for start in range(0, len(alike), at_once):
            some = alike[start : start + at_once]
            for i, row_levels in zip(some, to_uint8(np.stack([rows[i] for i in some])), strict=True):
                levels[i] = row_levels.copy()
    return levels


def compose_uint8(m: NDArray[np.uint8], f: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns equation 2 on 8-bit levels: round((m * f + (255 - m) * b) / 255), in exact integers.

    Composition is affine in f and b, so it commutes with the map from [-1, 1] to levels. The result is
    within one level of quantising the float32 composite, and the same on every machine. Arrays may
    have any shapes that broadcast.
    """
    m16 = _as_wide(m, f.shape[-1])
    blend = m16 * f + (255 - m16) * b
    blend += 128
    # Division by 255, rounded, in 16 bits. Two terms of 1 / 255 = 1 / 256 + 1 / 65536 + ... are exact here.
    blend += blend >> 8
    return np.right_shift(blend, 8, out=np.empty(blend.shape, np.uint8), casting="unsafe")


def _as_wide(m: NDArray[np.uint8], channels: int) -> NDArray[np.uint16]:
    """Returns masks with their channel repeated; numpy would broadcast the single channel slowly."""
    wide = np.empty((*m.shape[:-1], channels), np.uint16)
    for channel in range(channels):
        wide[..., channel] = m[..., 0]
    return wide


def encode(pixels: NDArray[np.uint8], image_format: ImageFormat) -> bytes:
    """Returns an image file of HW1 or HW3 pixels: PNG and WebP lossless, JPEG with quality 95."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels)
    out = io.BytesIO()
    if image_format == "png":
        image.save(out, "PNG", compress_level=1)
    elif image_format == "jpeg":
        image.save(out, "JPEG", quality=95, subsampling=0)
    else:
        image.save(out, "WEBP", lossless=True, method=0)
    return out.getvalue()
