"""Sheets of a model: its mechanisms' rows of a class, counterfactuals with their labels, interpolations."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cgn.factors import Factor, NoiseInterpolation, mixture
from cgn.images.pixels import compose_uint8, to_uint8
from cgn.images.sheets import SheetRow, draw_sheet
from cgn.model import CGN
from cgn.noise import Mechanism

Pixels = NDArray[np.uint8]
Labels = tuple[int, int, int]  # of shape, texture and background


def mechanisms_sheet(
    model: CGN, label: int, seeds: Sequence[int], truncation: float = 1.0, *, reference: bool = False
) -> Image.Image:
    """Returns a sheet of one class: a row per mechanism, a column per noise, the same factor in each column.

    Args:
        model: the model.
        label: index of the class.
        seeds: seed of each column's noise.
        truncation: truncation of the noise; 1 if the family has none.
        reference: whether to show the image of the unconstrained cGAN; the model must have one.
    """
    factors = [Factor(label, seed=seed, truncation=truncation) for seed in seeds]
    shapes, f, b = (_levels(model, name, factors) for name in ("shape", "texture", "background"))
    m = [row[..., :1] for row in shapes]
    rows = {"pre-mask": [row[..., 1:] for row in shapes]} if shapes[0].shape[-1] == 4 else {}
    composites = [compose_uint8(*parts) for parts in zip(m, f, b, strict=True)]
    rows |= {"mask": m, "foreground": f, "background": b, "composite": composites}
    if reference:
        rows["reference"] = _levels(model, "reference", factors)
    name = model.card.class_names[label]
    truncated = f", truncation {truncation:g}" if truncation != 1 else ""
    captions = [f"noise {seed}" for seed in seeds]
    return draw_sheet(
        f"{model.card.name}: {name}{truncated}",
        [
            SheetRow(title, images, captions if i == 0 else ())
            for i, (title, images) in enumerate(rows.items())
        ],
    )


def counterfactuals_sheet(
    model: CGN, headline: str, triples: Sequence[Labels], columns: int, seed: int, truncation: float = 1.0
) -> Image.Image:
    """Returns a sheet of counterfactuals with their labels as captions. Each mechanism has its own noise."""
    names = model.card.class_names
    factors = [
        [Factor(labels[i], seed=seed + 3 * place + i, truncation=truncation) for i in range(3)]
        for place, labels in enumerate(triples)
    ]
    shape, texture, background = zip(*factors, strict=True)
    m = [row[..., :1] for row in _levels(model, "shape", shape)]
    f, b = _levels(model, "texture", texture), _levels(model, "background", background)
    images = [compose_uint8(*parts) for parts in zip(m, f, b, strict=True)]
    captions = ["\n".join(f"{part}: {names[i]}" for part, i in zip("stb", t, strict=True)) for t in triples]
    rows = [
        SheetRow(f"row {row + 1}", images[start : start + columns], captions[start : start + columns])
        for row, start in enumerate(range(0, len(triples), columns))
    ]
    return draw_sheet(f"{model.card.name}: {headline}   (s, t, b: shape, texture, background)", rows)


def interpolation_sheet(
    model: CGN,
    mechanism: Mechanism,
    ends: Sequence[tuple[int, int]],
    seed: int,
    truncation: float = 1.0,
    columns: int = 8,
) -> Image.Image:
    """Returns a sheet of interpolations of one mechanism between two classes and two noises, a row per pair.

    For masks it also shows the pre-masks.

    Args:
        model: the model.
        mechanism: the mechanism.
        ends: labels of the first and of the last image of each row.
        seed: seed of the first noise; each further end adds 1.
        truncation: truncation of the noise.
        columns: images per row, at least 2.
    """
    rows, names = [], model.card.class_names
    for place, (start, end) in enumerate(ends):
        first, last = seed + 2 * place, seed + 2 * place + 1
        factors = []
        for i in range(columns):
            t = i / (columns - 1)
            label = mixture({start: 1 - t, end: t} if start != end else {start: 1.0})
            factors.append(
                Factor(
                    label,
                    seed=first,
                    interpolation=NoiseInterpolation(last, t, "spherical"),
                    truncation=truncation,
                )
            )
        levels = _levels(model, mechanism, factors)
        captions = [names[start], *[""] * (columns - 2), names[end]]
        if levels[0].shape[-1] == 4:
            rows.append(SheetRow("pre-mask", [row[..., 1:] for row in levels], captions))
            rows.append(SheetRow("mask", [row[..., :1] for row in levels]))
        else:
            images = [row[..., :1] for row in levels] if mechanism == "shape" else levels
            rows.append(SheetRow(mechanism, images, captions))
    return draw_sheet(f"{model.card.name}: {mechanism} from class to class", rows)


def _levels(model: CGN, mechanism: Mechanism, factors: Sequence[Factor]) -> list[Pixels]:
    return [to_uint8(row.permute(1, 2, 0).numpy()) for row in model.rows(mechanism, factors)]
