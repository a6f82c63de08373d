"""Sheets: rows of small pictures with titles and captions, for people to look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SCALE = 3  # screen pixels per image pixel
GAP = 6
MARGIN = 14
TITLE_WIDTH = 132
HEADLINE_HEIGHT = 34
CAPTION_HEIGHT = 16
PAPER, INK, FAINT = (255, 255, 255), (24, 26, 30), (110, 116, 126)


@dataclass(frozen=True)
class SheetRow:
    """One row of a sheet.

    Attributes:
        title: written to the left.
        images: uint8 (H, W, 1) or (H, W, 3), all of one size.
        captions: written above the images, one each; empty: none.
    """

    title: str
    images: Sequence[NDArray[np.uint8]]
    captions: Sequence[str] = ()


def draw_sheet(headline: str, rows: Sequence[SheetRow]) -> Image.Image:
    """A picture of all rows below a headline, images enlarged by SCALE without smoothing."""
    title_font, caption_font = ImageFont.load_default(14), ImageFont.load_default(11)
    cell = rows[0].images[0].shape[0] * SCALE
    width = TITLE_WIDTH + max(len(row.images) for row in rows) * (cell + GAP) + MARGIN
    height = MARGIN + HEADLINE_HEIGHT + sum(_row_height(row, cell) for row in rows) + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), headline, INK, ImageFont.load_default(16))
    top = MARGIN + HEADLINE_HEIGHT
    for row in rows:
        caption = CAPTION_HEIGHT if row.captions else 0
        pen.text((MARGIN, top + caption + cell / 2), row.title, INK, title_font, anchor="lm")
        for column, pixels in enumerate(row.images):
            left = TITLE_WIDTH + column * (cell + GAP)
            if row.captions:
                pen.text(
                    (left + cell / 2, top + CAPTION_HEIGHT / 2),
                    row.captions[column],
                    FAINT,
                    caption_font,
                    "mm",
                )
            picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
            sheet.paste(picture.resize((cell, cell), Image.Resampling.NEAREST), (left, top + caption))
        top += _row_height(row, cell)
    return sheet


def _row_height(row: SheetRow, cell: int) -> int:
    return cell + GAP + (CAPTION_HEIGHT if row.captions else 0)
