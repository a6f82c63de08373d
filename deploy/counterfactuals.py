"""Requests a sheet of counterfactuals from a generator: its mechanisms one by one, then recombined."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from PIL import Image

from cgn.images.sheets import SheetRow, draw_sheet
from cgn_client import Client, Factor, composite
from cgn_client.composites import Output

Labels = tuple[int, int, int]  # of shape, texture, background

_PARTS: tuple[Output, ...] = ("mask", "foreground", "background", "composite")
_SEED = 180  # with it every shipped model draws clear digits; no model does so with every seed
_HELD: Labels = (3, 1, 8)  # the labels that stay fixed while one varies; modulo the number of classes
_MAX_CLASSES = 16  # columns of a sheet
_MIXED_ROWS = 3


def counterfactual_sheet(client: Client, model: str, version: str = "") -> Image.Image:
    """Returns a picture of a model's mechanisms and of their recombinations.

    Upper rows: a column per class, with one label and one seed for all three mechanisms. Lower rows: the same
    masks, textures and backgrounds in other combinations, which cost the generator no forward pass. Raises
    CgnError.
    """
    described = client.get_model(model, version)
    classes = min(described.classes, _MAX_CLASSES)
    factors = [Factor(label, _SEED + label) for label in range(classes)]
    same = [composite(factor, factor, factor) for factor in factors]
    plain = client.generate(model, same, _PARTS, version=described.version)
    rows = [SheetRow(part, [result[part] for result in plain]) for part in _PARTS]
    rows[0] = replace(rows[0], captions=[f"class {name}" for name in described.class_names[:classes]])
    for title, labels in _combinations(classes):
        mixed = [composite(factors[s], factors[t], factors[b]) for s, t, b in labels]
        results = client.generate(model, mixed, version=described.version)
        images = [result["composite"] for result in results]
        rows.append(SheetRow(title, images, [f"s{s}  t{t}  b{b}" for s, t, b in labels]))
    meaning = "s, t, b: labels of shape, texture and background"
    return draw_sheet(f"{model} {described.version}   ({meaning})", rows)


def _combinations(classes: int) -> Iterator[tuple[str, Sequence[Labels]]]:
    """Yields title and labels of each row: one label varies in the first three rows, then all of them."""
    shape, texture, background = (label % classes for label in _HELD)
    yield "all shapes", [(label, texture, background) for label in range(classes)]
    yield "all textures", [(shape, label, background) for label in range(classes)]
    yield "all backgrounds", [(shape, texture, label) for label in range(classes)]
    draw = random.Random(_SEED)
    for _ in range(_MIXED_ROWS):
        yield "mixed", _mixed(draw, classes)


def _mixed(draw: random.Random, classes: int) -> list[Labels]:
    """Returns labels in which every class occurs once per mechanism and every digit is visible."""
    while True:
        columns = [draw.sample(range(classes), classes) for _ in range(3)]
        labels = list(zip(*columns, strict=True))
        if not any(_alike(texture, background) for _, texture, background in labels):
            return labels


def _alike(texture: int, background: int) -> bool:
    """Whether Double-Colored MNIST uses the same colour for both, which makes the digit invisible."""
    return (texture - background) % 10 == 6
