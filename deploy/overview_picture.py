"""Draws the first picture of the README: original digits, counterfactual digits, and two test accuracies.

The digits come from the shipped model of Wildlife MNIST, the accuracies from `docs/results/table2.json`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from cgn.factors import Factor
from cgn.images.pixels import compose_uint8, to_uint8
from cgn.images.sheets import FAINT, INK, PAPER
from cgn.model import CGN
from cgn.noise import Mechanism
from common.settings import REPO

TABLE = REPO / "docs" / "results" / "table2.json"
NAME = "overview.png"
ACCURACIES = "accuracies"  # name of the text in the PNG file that repeats the two numbers

# Labels of texture and background by the label of the shape. The colours stand out from each other.
OTHERS = {0: (9, 7), 3: (1, 8), 4: (3, 0), 5: (4, 1), 7: (2, 6)}
_SEED = 180  # a seed by which the model draws digits that are easy to read
_SIZE = 1600, 596
_MARGIN, _GAP, _TILE = 40, 16, 160  # 160 pixels: each pixel of an image is drawn as 5 by 5
_ROW_TOPS = 152, 396
_CHART_LEFT, _CHART_RIGHT, _CHART_TOP, _CHART_BOTTOM = 1060, 1560, 160, 480
_BAR_WIDTH = 150
_GREY, _BLUE = (158, 164, 174), (31, 111, 197)


def accuracies(table: Mapping[str, Any]) -> dict[str, float]:
    """Returns the mean test accuracies on Wildlife MNIST, in per cent, by the kind of training images."""
    rows = table["wildlife"]
    return {"original images": rows["original"]["mean"], "counterfactuals": rows["cgn"]["mean"]}


def as_text(values: Mapping[str, float]) -> str:
    """Returns the accuracies as the PNG file repeats them in its metadata."""
    return ", ".join(f"{name} {value:.1f}" for name, value in values.items())


def save(model: CGN, path: Path) -> None:
    """Draws the picture and writes it as PNG. Raises OSError or ValueError if the table cannot be read."""
    values = accuracies(json.loads(TABLE.read_text(encoding="utf-8")))
    metadata = PngInfo()
    metadata.add_text(ACCURACIES, as_text(values))
    _draw(model, values).save(path, optimize=True, pnginfo=metadata)


def _draw(model: CGN, values: Mapping[str, float]) -> Image.Image:
    picture = Image.new("RGB", _SIZE, PAPER)
    pen = ImageDraw.Draw(picture)
    large, normal = ImageFont.load_default(40), ImageFont.load_default(29)
    pen.text((_MARGIN, 34), "Wildlife MNIST", INK, large)
    same = [(label, label) for label in OTHERS]
    rows = (
        (same, "Original: each digit has its own texture and background"),
        (list(OTHERS.values()), "Counterfactual: the same digits, other textures and backgrounds"),
    )
    for top, (labels, title) in zip(_ROW_TOPS, rows, strict=True):
        pen.text((_MARGIN, top - 16), title, INK, normal, anchor="ls")
        for column, tile in enumerate(_tiles(model, labels)):
            picture.paste(tile, (_MARGIN + column * (_TILE + _GAP), top))
    _draw_chart(pen, values, large, normal)
    return picture


def _tiles(model: CGN, labels: Sequence[tuple[int, int]]) -> list[Image.Image]:
    """Returns the digits of OTHERS, enlarged, with the given labels of texture and background."""
    chosen: dict[Mechanism, list[int]] = {
        "shape": list(OTHERS),
        "texture": [texture for texture, _ in labels],
        "background": [background for _, background in labels],
    }
    rows = (
        model.rows(mechanism, [Factor(label, seed=_SEED + label) for label in its])
        for mechanism, its in chosen.items()
    )
    parts = ([to_uint8(row.permute(1, 2, 0).numpy()) for row in drawn] for drawn in rows)
    return [
        Image.fromarray(compose_uint8(m, f, b)).resize((_TILE, _TILE), Image.Resampling.NEAREST)
        for m, f, b in zip(*parts, strict=True)
    ]


def _draw_chart(pen: ImageDraw.ImageDraw, values: Mapping[str, float], large: Any, normal: Any) -> None:
    """Draws one bar for each accuracy; the full height is 100 per cent."""
    pen.text((_CHART_LEFT, 44), "Test accuracy on digits with", INK, normal)
    pen.text((_CHART_LEFT, 80), "random textures and backgrounds", INK, normal)
    centres = (_CHART_LEFT + 120, _CHART_RIGHT - 120)
    for centre, colour, (name, value) in zip(centres, (_GREY, _BLUE), values.items(), strict=True):
        top = _CHART_BOTTOM - (_CHART_BOTTOM - _CHART_TOP) * value / 100
        left, right = centre - _BAR_WIDTH / 2, centre + _BAR_WIDTH / 2
        pen.rectangle((left, top, right, _CHART_BOTTOM), colour)
        pen.text((centre, top - 10), f"{value:.1f} %", INK, large, anchor="ms")
        pen.text((centre, _CHART_BOTTOM + 36), "trained on", FAINT, normal, anchor="ms")
        pen.text((centre, _CHART_BOTTOM + 70), name, INK, normal, anchor="ms")
    pen.line((_CHART_LEFT, _CHART_BOTTOM, _CHART_RIGHT, _CHART_BOTTOM), INK, 2)
