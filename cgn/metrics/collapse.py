"""Collapse: what a network's masks show of it, and the verdict on them.

A shape mechanism can fail for one class while its losses look healthy: the mask is inverted (a black disc in
a white frame), covers everything or nothing, stays half transparent, or ignores its noise. How many classes
are spared decides how well a classifier learns from the counterfactuals (Bagad et al., ReScience C 2022).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cgn.card import MaskBounds
from cgn.factors import weights_of
from cgn.families.network import Network

ROWS = 200  # masks measured per class
SOFT_ABOVE, SOFT_BELOW = 0.1, 0.9  # mask values between them are neither object nor background

# Of real digits class 7 has most, 0.043. A mask of one value has 0.34, an inverted one more. (These figures,
# and those of the variation, are held by tests/cgn/metrics/test_collapse.py.)
HIGHEST_BORDER = 0.12
# The digits of colored MNIST have soft edges, so some is sound; a mask left undecided has 1.
HIGHEST_SOFT = 0.2
# Classes of real digits have 0.12 to 0.23.
LOWEST_VARIATION = 0.005
# L_mask is met on average only, so the verdict on a class's mean allows more than the loss's interval.
MEAN_BELOW = 0.75  # of the interval's lower end
MEAN_ABOVE = 0.1  # on top of its upper end
# The same while a class is still in training: its mask begins grey and wide, and shrinks to the object.
GROSS_MEAN_BELOW, GROSS_MEAN_ABOVE, GROSS_BORDER = 0.25, 0.2, 0.25


@dataclass(frozen=True)
class MaskMeasures:
    """Measures of one class's masks.

    Attributes:
        mean: μ_mask, mean mask value, 0 to 1.
        border: border mass, share of a mask's sum that lies in the frame of `frame_width` pixels, 0 to 1.
        soft: soft-pixel share, share of pixels between SOFT_ABOVE and SOFT_BELOW, 0 to 1.
        variation: standard deviation over the noise, averaged over the pixels, 0 to 0.5.
    """

    mean: float
    border: float
    soft: float
    variation: float


@dataclass(frozen=True)
class Fault:
    """One measure of one class that is out of bounds.

    Attributes:
        class_name: of the class.
        measure: its name, such as "border mass". value: what it is.
        bound: such as "above 0.12".
        meaning: what that says of the mask.
    """

    class_name: str
    measure: str
    value: float
    bound: str
    meaning: str

    @property
    def text(self) -> str:
        """All but the class."""
        return f"{self.measure} {self.value:.3f} is {self.bound}: {self.meaning}"

    def __str__(self) -> str:
        return f"class {self.class_name}: {self.text}"


def frame_width(resolution: int) -> int:
    """Pixels from the image's edge that count as its border: 3 at 32 pixels, in proportion elsewhere."""
    return max(1, round(3 * resolution / 32))


def border_mass(m: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of each mask's sum that lies in the frame; 0 for an empty mask. m: (..., H, W) in [0, 1]."""
    width = frame_width(m.shape[-1])
    total = m.sum(axis=(-2, -1))
    inner = m[..., width:-width, width:-width].sum(axis=(-2, -1))
    share: NDArray[np.float32] = np.where(total > 0, 1 - inner / np.maximum(total, 1e-9), 0).clip(0, 1)
    return share


def soft_share(m: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of each mask's pixels that are neither object nor background. m: (..., H, W) in [0, 1]."""
    share: NDArray[np.float64] = ((m > SOFT_ABOVE) & (m < SOFT_BELOW)).mean(axis=(-2, -1))
    return share


def measure(m: NDArray[np.float32]) -> MaskMeasures:
    """Measures of one class's masks (N, H, W) in [0, 1], rounded to four decimals."""
    values = m.mean(), border_mass(m).mean(), soft_share(m).mean(), m.std(axis=0).mean()
    return MaskMeasures(*(round(float(value), 4) for value in values))


@torch.no_grad()
def measure_network(network: Network, rows: int = ROWS) -> list[MaskMeasures]:
    """Measures of fresh masks, by class: `rows` each, in eval mode, the same noise in every call."""
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
    """Bounds that a finished class keeps, from the interval of L_mask."""
    return MaskBounds(
        lowest=round(MEAN_BELOW * mask_lowest, 4),
        highest=round(min(1.0, mask_highest + MEAN_ABOVE), 4),
        highest_border=HIGHEST_BORDER,
        highest_soft=HIGHEST_SOFT,
    )


def gross_bounds(mask_lowest: float, mask_highest: float) -> MaskBounds:
    """Bounds that a class keeps while it is still in training, when masks are rough and not yet binary."""
    return MaskBounds(
        lowest=round(GROSS_MEAN_BELOW * mask_lowest, 4),
        highest=round(min(1.0, mask_highest + GROSS_MEAN_ABOVE), 4),
        highest_border=GROSS_BORDER,
        highest_soft=1.0,
    )


def class_bounds(measures: MaskMeasures, sound: MaskBounds) -> MaskBounds:
    """Bounds that one class states on its card: the mean within half and twice its own, and sound."""
    lowest, highest = max(sound.lowest, measures.mean / 2), min(sound.highest, measures.mean * 2)
    if lowest >= highest:  # collapsed: what it has is outside the bounds, as it should be
        return sound
    return MaskBounds(round(lowest, 4), round(highest, 4), sound.highest_border, sound.highest_soft)


def verdict(
    class_names: Sequence[str],
    measures: Sequence[MaskMeasures],
    bounds: MaskBounds,
    lowest_variation: float = LOWEST_VARIATION,
) -> list[Fault]:
    """What is wrong, one fault for each class and measure that is out of bounds; empty: all is well.

    A measure that is not a number is out of bounds.
    """
    faults = []
    for name, found in zip(class_names, measures, strict=True):

        def fault(what: str, value: float, bound: str, meaning: str, name: str = name) -> None:
            faults.append(Fault(name, what, value, bound, meaning))

        empty = not found.mean >= bounds.lowest
        if empty:
            fault("μ_mask", found.mean, f"below {bounds.lowest:g}", "the mask is empty")
        elif not found.mean <= bounds.highest:
            meaning = "the mask is inverted or covers the image"
            fault("μ_mask", found.mean, f"above {bounds.highest:g}", meaning)
        if not empty and not found.border <= bounds.highest_border:  # of what is not there it says nothing
            meaning = "the mask is inverted, has a frame or is in pieces"
            fault("border mass", found.border, f"above {bounds.highest_border:g}", meaning)
        if not found.soft <= bounds.highest_soft:
            meaning = "the mask is half transparent"
            fault("soft-pixel share", found.soft, f"above {bounds.highest_soft:g}", meaning)
        if not found.variation >= lowest_variation:
            meaning = "the mask ignores its noise, all shapes of the class are one"
            fault("variation", found.variation, f"below {lowest_variation:g}", meaning)
    return faults
