"""Draws sheets of small images with row titles and captions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]

_SCALE = 3  # nearest neighbour: every pixel stays visible
_GAP = 6
_MARGIN = 24
_TITLE_WIDTH = 150
_CAPTION_HEIGHT = 17
_PAPER, _INK, _SOFT = "#ffffff", "#1b1f24", "#6a737d"


@dataclass(frozen=True)
class Row:
    """Images side by side. images: uint8 HWC, C of 1 or 3, all of one size; captions: one each, or none."""

    title: str
    images: Sequence[Pixels]
    captions: Sequence[str] = ()


@dataclass(frozen=True)
class Block:
    """Rows under a heading."""

    heading: str
    rows: Sequence[Row] = field(default_factory=tuple)


def draw_sheet(title: str, blocks: Sequence[Block]) -> Image.Image:
    """The blocks below each other, as an RGB picture."""
    side = blocks[0].rows[0].images[0].shape[0] * _SCALE
    columns = max(len(row.images) for block in blocks for row in block.rows)
    width = 2 * _MARGIN + _TITLE_WIDTH + columns * (side + _GAP) - _GAP
    height = 2 * _MARGIN + 34 + sum(_block_height(block, side) for block in blocks)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), title, _INK, _font(24))
    top = _MARGIN + 34
    for block in blocks:
        pen.text((_MARGIN, top + 16), block.heading, _SOFT, _font(15))
        row_top = top + 44
        for row in block.rows:
            _draw_row(sheet, pen, row, row_top, side)
            row_top += _row_height(row, side)
        top += _block_height(block, side)
    return sheet


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: Row, top: int, side: int) -> None:
    image_top = top + (_CAPTION_HEIGHT if row.captions else 0)
    pen.text((_MARGIN, image_top + side // 2), row.title, _INK, _font(16), anchor="lm")
    for column, image in enumerate(row.images):
        left = _MARGIN + _TITLE_WIDTH + column * (side + _GAP)
        sheet.paste(_enlarged(image, side), (left, image_top))
        if row.captions:
            middle = left + side // 2, image_top - 2
            pen.text(middle, row.captions[column], _INK, _font(13), anchor="mb")


def _enlarged(image: Pixels, side: int) -> Image.Image:
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return Image.fromarray(np.ascontiguousarray(rgb)).resize((side, side), Image.Resampling.NEAREST)


def _row_height(row: Row, side: int) -> int:
    return side + _GAP + (_CAPTION_HEIGHT if row.captions else 0)


def _block_height(block: Block, side: int) -> int:
    return 44 + sum(_row_height(row, side) for row in block.rows)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)  # Pillow's own, so that a sheet looks the same everywhere
