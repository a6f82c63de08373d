"""What is counted of every image that is served: how many, and how their masks stand against collapse."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cgn.collapse import border_mass, soft_share
from cgn.engine import Row
from common.metrics import GeneratorMetrics
from services.generator.redis_tier import Pixels
from services.generator.validate import Plan

_AT_ONCE = 64  # masks measured together


def count_served(metrics: GeneratorMetrics, plan: Plan, pixels: Mapping[Row, Pixels]) -> None:
    """Counts the images of a plan. A mask that several composites share counts for each."""
    card = plan.card
    metrics.images.labels(card.name, card.version).inc(plan.composites * len(plan.outputs))
    shapes = plan.rows.get("shape")
    if not shapes:
        return
    names = [card.class_names[row.label] if isinstance(row.label, int) else "mixture" for row in shapes]
    of_row = list(measures([pixels[row] for row in shapes]))
    # An observation costs more than its measurement, so those of a class are made at once.
    by_class: dict[str, list[tuple[float, float, float]]] = {}
    for pick in plan.picks["shape"]:
        by_class.setdefault(names[pick], []).append(of_row[pick])
    summaries = metrics.mu_mask, metrics.mask_border, metrics.mask_soft
    for name, masks in by_class.items():
        for summary, values in zip(summaries, zip(*masks, strict=True), strict=True):
            summary.labels(card.name, card.version, name).observe_all(values)


def measures(shapes: Sequence[Pixels]) -> Iterator[tuple[float, float, float]]:
    """The mean mask value, border mass and soft-pixel share (cgn.collapse), each 0 to 1, of rows of shape."""
    for start in range(0, len(shapes), _AT_ONCE):
        m_NHW = np.stack([shape[:, :, 0] for shape in shapes[start : start + _AT_ONCE]]).astype(np.float32)
        if shapes[0].dtype == np.uint8:
            m_NHW /= 255
        mean = m_NHW.mean((1, 2), dtype=np.float64)
        yield from zip(mean.tolist(), border_mass(m_NHW).tolist(), soft_share(m_NHW).tolist(), strict=True)
