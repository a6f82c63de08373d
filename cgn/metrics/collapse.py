"""Mask collapse: measures a network's masks class by class and compares them with bounds.

A shape mechanism can fail for one class while its losses look healthy. The mask is then inverted (a black
disc in a white frame), covers everything or nothing, stays half transparent, or ignores its noise. The number
of collapsed classes decides how well a classifier learns from the counterfactuals (Bagad et al., ReScience C
2022).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cgn.card import MaskBounds, MaskFault
from cgn.factors import weights_of
from cgn.families.network import Network
from cgn.metrics import masks

ROWS = 200  # masks measured per class

# Among real digits, class 7 has the highest border mass: 0.043. A constant mask has 0.34,
# an inverted mask more.
# tests/cgn/metrics/test_collapse.py checks the values for real digits that are stated here and below.
HIGHEST_BORDER = 0.12
# Digits of colored MNIST have soft edges, so a sound mask has some soft pixels.
HIGHEST_SOFT = 0.2
# Each class of real digits has a variation of 0.12 to 0.23.
LOWEST_VARIATION = 0.005
# L_mask bounds the mean of a batch only, so the bounds of one class are wider than the loss's interval.
LOWEST_MEAN_FACTOR = 0.75  # times the interval's lower end
HIGHEST_MEAN_MARGIN = 0.1  # added to the interval's upper end
# Early in training, masks are grey and larger than the object, so the bounds during training are wider.
GROSS_LOWEST_MEAN_FACTOR, GROSS_HIGHEST_MEAN_MARGIN, GROSS_BORDER = 0.25, 0.2, 0.25


@dataclass(frozen=True)
class MaskMeasures:
    """Measures of one class's masks, defined in `cgn.metrics.masks`.

    Attributes:
        mean: μ_mask, 0 to 1.
        border: border mass, 0 to 1.
        soft: soft-pixel share, 0 to 1.
        variation: standard deviation over the noise, 0 to 0.5.
    """

    mean: float
    border: float
    soft: float
    variation: float


@dataclass(frozen=True)
class ClassFault(MaskFault):
    """A measure of one class that is out of bounds.

    Attributes:
        class_name: name of the class.
    """

    class_name: str

    def __str__(self) -> str:
        return f"class {self.class_name}: {self.text}"


def measure(m_NHW: NDArray[np.float32]) -> MaskMeasures:
    """Returns the measures of one class's masks (N, H, W) in [0, 1], rounded to four decimals."""
    values = (
        masks.mu_mask(m_NHW),
        masks.border_mass(m_NHW).mean(),
        masks.soft_share(m_NHW).mean(),
        masks.variation(m_NHW),
    )
    return MaskMeasures(*(round(float(value), 4) for value in values))


@torch.no_grad()
def measure_network(network: Network, rows: int = ROWS) -> list[MaskMeasures]:
    """Returns the measures of `rows` fresh masks of each class, drawn in eval mode.

    Every call uses the same noise. The network may be the trained or the served form. Its mode is restored.
    """
    device = next(itertools.chain(network.parameters(), network.buffers())).device
    random = torch.Generator().manual_seed(0)
    was_training = network.training
    network.eval()
    measures = []
    for label in range(network.classes):
        u_NL = network.draw_noise(rows, random).to(device)
        y_NC = torch.from_numpy(weights_of([label] * rows, network.classes)).to(device)
        m_N1HW = network.draw_masks(u_NL, y_NC)
        measures.append(measure(m_N1HW[:, 0].float().cpu().numpy()))
    network.train(was_training)
    return measures


def sound_bounds(mask_lowest: float, mask_highest: float) -> MaskBounds:
    """Returns the bounds of one class's masks after training.

    Args:
        mask_lowest, mask_highest: interval of the mean mask value within which L_mask is 0.
    """
    return MaskBounds(
        lowest=round(LOWEST_MEAN_FACTOR * mask_lowest, 4),
        highest=round(min(1.0, mask_highest + HIGHEST_MEAN_MARGIN), 4),
        highest_border=HIGHEST_BORDER,
        highest_soft=HIGHEST_SOFT,
    )


def gross_bounds(mask_lowest: float, mask_highest: float) -> MaskBounds:
    """Returns the bounds of one class's masks during training, when masks are rough and not yet binary.

    Args:
        mask_lowest, mask_highest: as in `sound_bounds`.
    """
    return MaskBounds(
        lowest=round(GROSS_LOWEST_MEAN_FACTOR * mask_lowest, 4),
        highest=round(min(1.0, mask_highest + GROSS_HIGHEST_MEAN_MARGIN), 4),
        highest_border=GROSS_BORDER,
        highest_soft=1.0,
    )


def class_bounds(measures: MaskMeasures, sound: MaskBounds) -> MaskBounds:
    """Returns the bounds of one class for the card: the sound bounds, and half to twice the measured mean."""
    lowest, highest = max(sound.lowest, measures.mean / 2), min(sound.highest, measures.mean * 2)
    if lowest >= highest:  # the class has collapsed: its masks must violate the bounds
        return sound
    return MaskBounds(round(lowest, 4), round(highest, 4), sound.highest_border, sound.highest_soft)


def find_faults(
    class_names: Sequence[str],
    measures: Sequence[MaskMeasures],
    bounds: MaskBounds,
    lowest_variation: float = LOWEST_VARIATION,
) -> list[ClassFault]:
    """Returns one fault for each measure of a class that is out of bounds. NaN is out of bounds."""
    faults = []
    for name, measured in zip(class_names, measures, strict=True):
        class_faults = bounds.faults(measured.mean, measured.border, measured.soft)
        if not measured.variation >= lowest_variation:
            meaning = "the mask ignores the noise, all masks of the class are the same"
            bound = f"below {lowest_variation:g}"
            class_faults.append(MaskFault("variation", measured.variation, bound, meaning))
        faults += [ClassFault(f.measure, f.value, f.bound, f.meaning, name) for f in class_faults]
    return faults
