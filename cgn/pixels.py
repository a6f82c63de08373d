"""Rows as bytes: 8-bit levels, exact 8-bit composition, image files.

All arrays are row-major HWC, as they go over the wire. Masks have one channel, colours three.
"""

import io
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ImageFormat = Literal["png", "jpeg", "webp"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)


def to_uint8(row: NDArray[np.float32]) -> NDArray[np.uint8]:
    """8-bit levels: round(255 * m) of a mask in [0, 1], round((v + 1) * 127.5) of colours in [-1, 1]."""
    levels = row * 255.0 if row.shape[-1] == 1 else (row + 1.0) * 127.5
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def compose_uint8(m: NDArray[np.uint8], f: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Equation 2 on 8-bit levels: round((m * f + (255 - m) * b) / 255), in exact integers.

    Composition is affine in f and b, so it commutes with the map from [-1, 1] to levels. The result is
    within one level of quantising the float32 composite, and the same on every machine.
    """
    m16 = m.astype(np.uint32)
    blend = m16 * f + (255 - m16) * b
    return ((2 * blend + 255) // 510).astype(np.uint8)


def encode(pixels: NDArray[np.uint8], image_format: ImageFormat) -> bytes:
    """An image file of HW1 or HW3 pixels: PNG and WebP lossless, JPEG at quality 95."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels)
    out = io.BytesIO()
    if image_format == "png":
        image.save(out, "PNG", compress_level=1)
    elif image_format == "jpeg":
        image.save(out, "JPEG", quality=95, subsampling=0)
    else:
        image.save(out, "WEBP", lossless=True, method=0)
    return out.getvalue()
