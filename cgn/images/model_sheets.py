"""Sheets of a model: what its mechanisms draw of a class, and counterfactuals with their labels."""

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
    """What the mechanisms draw of one class, all of the same cause, a column a noise.

    Args:
        model: any.
        label: of the class.
        seeds: of the noises.
        truncation: of the noise, where the family has one.
        reference: show the picture of the unconstrained cGAN too, where the model has one.
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
    """Counterfactuals with their labels above them, every mechanism of each with a noise of its own."""
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
    """One mechanism between two classes and two noises, a row a pair; of masks the pre-masks too.

    Args:
        model: any.
        mechanism: which one.
        ends: labels of the first and of the last image of each row.
        seed: of the first noise; every end has one of its own.
        truncation: of the noise.
        columns: images of a row, at least 2.
    """
    rows, names = [], model.card.class_names
    for place, (start, end) in enumerate(ends):
        first, last = seed + 2 * place, seed + 2 * place + 1
        factors = []
        for i in range(columns):
            share = i / (columns - 1)
            label = mixture({start: 1 - share, end: share} if start != end else {start: 1.0})
            factors.append(
                Factor(
                    label,
                    seed=first,
                    interpolation=NoiseInterpolation(last, share, "spherical"),
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
