"""Metrics of served images: counts, and mask statistics that reveal collapse."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cgn.engine import Row
from cgn.metrics.masks import border_mass, mean_values, soft_share
from common.metrics import GeneratorMetrics
from services.generator.plan.plan import Plan
from services.generator.plan.types import DType, Pixels

_AT_ONCE = 64  # masks measured together
_MAX_MEASURES = 1 << 14  # kept for later requests


class Mask(NamedTuple):
    """Measures of one mask (cgn.metrics.masks): mean, border mass and share of soft pixels, 0 to 1."""

    mean: float
    border: float
    soft: float


class ServedMetrics:
    """Measures masks and counts images. A mask is measured once however often it is served."""

    def __init__(self, metrics: GeneratorMetrics) -> None:
        self._metrics = metrics
        self._measures: dict[tuple[Row, DType], Mask] = {}

    def masks(self, plan: Plan, pixels: Mapping[Row, Pixels]) -> list[Mask]:
        """Measures of a plan's rows of shape; none if it has no shapes. For any thread."""
        shapes = plan.rows.get("shape", ())
        known = [self._measures.get((row, plan.dtype)) for row in shapes]
        if new := [row for row, mask in zip(shapes, known, strict=True) if not mask]:
            masks = dict(zip(new, measure_masks([pixels[row] for row in new]), strict=True))
            if len(self._measures) + len(new) > _MAX_MEASURES:
                self._measures = {}
            self._measures |= {(row, plan.dtype): mask for row, mask in masks.items()}
            return [mask or masks[row] for row, mask in zip(shapes, known, strict=True)]
        return [mask for mask in known if mask]

    def count(self, plan: Plan, masks: Sequence[Mask]) -> None:
        """Counts the images of a plan. A mask that several composites share counts for each of them."""
        card, metrics = plan.card, self._metrics
        metrics.images.labels(card.name, card.version).inc(plan.composites * len(plan.outputs))
        if not masks:
            return
        # An observation costs more than the measurement, so all masks of a class are observed at once.
        by_class: dict[str, tuple[int, float, float, float]] = {}
        for pick, times in Counter(plan.picks["shape"]).items():
            label, mask = plan.rows["shape"][pick].label, masks[pick]
            name = card.class_names[label] if isinstance(label, int) else "mixture"
            count, mean, border, soft = by_class.get(name, (0, 0.0, 0.0, 0.0))
            by_class[name] = (
                count + times,
                mean + times * mask.mean,
                border + times * mask.border,
                soft + times * mask.soft,
            )
        summaries = metrics.mu_mask, metrics.mask_border, metrics.mask_soft
        for name, (count, *totals) in by_class.items():
            for summary, total in zip(summaries, totals, strict=True):
                summary.labels(card.name, card.version, name).observe_sum(count, total)


def measure_masks(shapes: Sequence[Pixels]) -> Iterator[Mask]:
    """Yields the measures of the masks of rows of shape, (H, W, channels) each."""
    for start in range(0, len(shapes), _AT_ONCE):
        m_NHW = np.stack([shape[:, :, 0] for shape in shapes[start : start + _AT_ONCE]]).astype(np.float32)
        if shapes[0].dtype == np.uint8:
            m_NHW /= 255
        mean = mean_values(m_NHW, np.float64)
        columns = (mean.tolist(), border_mass(m_NHW).tolist(), soft_share(m_NHW).tolist())
        yield from (Mask(*values) for values in zip(*columns, strict=True))
