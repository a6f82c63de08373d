"""Measures of masks: how much they cover, and how well they meet the true ones.

A generated picture has no true mask. One that is as good comes from a judge: a segmenter that has learnt the
data set's real images with their true masks, which no CGN sees, and looks at x_gt, the picture of the
unconstrained cGAN for the same noise and label. So the mask is compared with where the object stood in the
picture that the CGN was to take apart, and no CGN moves its own yardstick. What the judge scores on real
images it has not seen is the most that can be told apart this way, and belongs beside every such number.
`trainer.reproduce.miniature.mask_judge` trains one.
"""

from typing import NamedTuple

import torch

from cgn.errors import CgnInputError


class Coverage(NamedTuple):
    """μ_mask of table 1: a mask's mean value, 0 to 1, over many masks."""

    mean: float
    deviation: float  # standard deviation from mask to mask, with the denominator of a population


def coverage(m_N1HW: torch.Tensor) -> Coverage:
    """μ_mask of masks in [0, 1]. Close to 0 or 1 it has collapsed: one texture draws all (section 4.2)."""
    mean_N = m_N1HW.double().mean((1, 2, 3))
    return Coverage(float(mean_N.mean()), float(mean_N.std(correction=0)))


def mask_iou(m: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Intersection over union of each mask, cut at 1/2, with the true one: (N,) in [0, 1].

    Two empty masks agree in full.

    Args:
        m: masks (N, 1, H, W) or (N, H, W) in [0, 1].
        true: bool, of the same shape.

    Raises:
        CgnInputError: shapes that differ.
    """
    if m.shape != true.shape:
        raise CgnInputError("masks", f"{tuple(m.shape)} and {tuple(true.shape)} must have one shape")
    found, true = (m > 0.5).flatten(1), true.flatten(1)
    union = (found | true).sum(1)
    return torch.where(union > 0, (found & true).sum(1) / union.clamp(min=1), 1.0)
