"""Sheets: rows of small images with titles and captions, for people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SCALE = 3  # screen pixels per image pixel
LARGEST_CELL = 256  # highest size of an enlarged image, in screen pixels a side
GAP = 6
MARGIN = 14
TITLE_WIDTH = 132
HEADLINE_HEIGHT = 34
CAPTION_HEIGHT = 16  # of one line
PAPER, INK, FAINT = (255, 255, 255), (24, 26, 30), (110, 116, 126)


@dataclass(frozen=True)
class SheetRow:
    """One row of a sheet.

    Attributes:
        title: written to the left.
        images: uint8 (H, W, 1) or (H, W, 3), all of one size.
        captions: texts above the images, one per image, of one or more lines; cut to the image's width.
            Empty: no captions.
    """

    title: str
    images: Sequence[NDArray[np.uint8]]
    captions: Sequence[str] = ()


def draw_sheet(headline: str, rows: Sequence[SheetRow]) -> Image.Image:
    """Returns a sheet of all rows below a headline. Images are enlarged by SCALE at most, unsmoothed."""
    headline_font, title_font, caption_font = (ImageFont.load_default(size) for size in (16, 14, 11))
    side = rows[0].images[0].shape[0]
    cell = side * max(1, min(SCALE, LARGEST_CELL // side))
    left_of_images = max(TITLE_WIDTH, *(int(title_font.getlength(row.title)) + 2 * MARGIN for row in rows))
    width = left_of_images + max(len(row.images) for row in rows) * (cell + GAP) + MARGIN
    width = max(width, int(headline_font.getlength(headline)) + 2 * MARGIN)
    height = MARGIN + HEADLINE_HEIGHT + sum(_row_height(row, cell) for row in rows) + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), headline, INK, headline_font)
    top = MARGIN + HEADLINE_HEIGHT
    for row in rows:
        caption = _caption_height(row)
        pen.text((MARGIN, top + caption + cell / 2), row.title, INK, title_font, anchor="lm")
        for column, pixels in enumerate(row.images):
            left = left_of_images + column * (cell + GAP)
            if row.captions:
                for line, text in enumerate(row.captions[column].splitlines()):
                    place = left + cell / 2, top + (line + 0.5) * CAPTION_HEIGHT
                    pen.text(place, _fitting(text, caption_font, cell + GAP), FAINT, caption_font, "mm")
            picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
            sheet.paste(picture.resize((cell, cell), Image.Resampling.NEAREST), (left, top + caption))
        top += _row_height(row, cell)
    return sheet


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """Returns a text cut to a width in pixels; an ellipsis marks a cut."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _caption_height(row: SheetRow) -> int:
    return CAPTION_HEIGHT * max((len(caption.splitlines()) for caption in row.captions), default=0)


def _row_height(row: SheetRow, cell: int) -> int:
    return cell + GAP + _caption_height(row)
