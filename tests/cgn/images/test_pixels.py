"""Rows as bytes: the documented levels, and composition that agrees with equation 2."""

import io

import numpy as np
from PIL import Image

from cgn.composer import compose
from cgn.images.pixels import IMAGE_FORMATS, compose_uint8, encode, rows_to_uint8, to_uint8

RANDOM = np.random.default_rng(0)


def test_levels_are_as_documented() -> None:
    m = np.array([0, 0.0019, 0.5, 1], np.float32).reshape(2, 2, 1)
    assert to_uint8(m).ravel().tolist() == [0, 0, 128, 255]
    v = np.array([-1, 0, 1, -2, 2, 0.004], np.float32).reshape(1, 2, 3)
    assert to_uint8(v).ravel().tolist() == [0, 128, 255, 0, 255, 128]


def test_rows_of_several_shapes_have_the_levels_of_each() -> None:
    shapes = [(32, 32, 1), (32, 32, 3), (64, 64, 4), (32, 32, 1), *[(32, 32, 3)] * 50]
    rows = [RANDOM.random(shape, np.float32) for shape in shapes]
    for row, levels in zip(rows, rows_to_uint8(rows), strict=True):
        assert np.array_equal(levels, to_uint8(row)) and levels.base is None


def test_integer_composition_is_exact_for_every_mask_level() -> None:
    m = np.arange(256, dtype=np.uint8).reshape(256, 1, 1).repeat(256, axis=1)
    f = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(256, axis=0)
    for level in range(256):
        b = np.full_like(f, level)
        exact = (m.astype(int) * f + (255 - m.astype(int)) * b) / 255
        assert np.abs(compose_uint8(m, f, b) - exact).max() <= 0.5


def test_integer_composition_is_within_a_level_of_the_float_one() -> None:
    m = RANDOM.random((64, 64, 1), np.float32)
    f, b = (RANDOM.random((64, 64, 3), np.float32) * 2 - 1 for _ in range(2))
    levels = compose_uint8(to_uint8(m), to_uint8(f), to_uint8(b)).astype(int)
    assert np.abs(levels - to_uint8(compose(m, f, b))).max() <= 1


def test_files_decode_to_the_pixels() -> None:
    for channels in (1, 3):
        pixels = RANDOM.integers(0, 256, (32, 32, channels), np.uint8)
        for name in IMAGE_FORMATS:
            image = Image.open(io.BytesIO(encode(pixels, name)))
            assert image.format == name.upper()
            mode = "L" if channels == 1 else "RGB"
            decoded = np.asarray(image.convert(mode)).reshape(pixels.shape)
            if name != "jpeg":
                assert np.array_equal(decoded, pixels)
            else:
                assert np.abs(decoded.astype(int) - pixels).mean() < 16
