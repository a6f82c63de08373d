"""Measures of masks: the one place that defines μ_mask, border mass, soft-pixel share and variation.

Masks are (..., H, W) with values in [0, 1], as NumPy arrays or as tensors; 1 is object. These measure masks:
served images in services.generator.answers.served_metrics; model cards and gates in cgn.metrics.collapse;
running trainings in trainer.mnist.train and trainer.imagenet.step; table 1 in
trainer.reproduce.imagenet.cell.
"""

from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray

from cgn.errors import CgnInputError

SOFT_ABOVE, SOFT_BELOW = 0.1, 0.9  # mask values between these two are neither object nor background

A = TypeVar("A", NDArray[Any], torch.Tensor)


@overload
def mu_mask(m: torch.Tensor) -> torch.Tensor: ...
@overload
def mu_mask(m: NDArray[np.float32]) -> float: ...
def mu_mask(m: NDArray[np.float32] | torch.Tensor) -> float | torch.Tensor:
    """Returns μ_mask of a batch: the mean value over all its masks, 0 to 1 (table 1).

    Close to 0 or 1 the masks have collapsed: one texture fills the image (section 4.2). The result of a
    tensor is a tensor without dimensions, in its type and on its device.
    """
    return m.mean() if isinstance(m, torch.Tensor) else float(m.mean())


def mean_values(m: A, dtype: Any = None) -> A:
    """Returns the mean value of each mask, (...), 0 to 1. dtype: type of the sum; None: the masks' type."""
    means: A = m.mean((-2, -1), dtype=dtype)
    return means


def border_mass(m: A) -> A:
    """Returns the share of each mask's sum that lies in its frame, (...), 0 to 1; 0 for an empty mask.

    The frame has `frame_width` pixels.
    """
    width = frame_width(m.shape[-1])
    total = m.sum((-2, -1))
    inner = m[..., width:-width, width:-width].sum((-2, -1))
    share: A = (1 - inner / total.clip(1e-9)).clip(0, 1) * (total > 0)
    return share


def soft_share(m: A) -> A:
    """Returns the share of each mask's pixels between SOFT_ABOVE and SOFT_BELOW, (...), 0 to 1."""
    soft: A = (m > SOFT_ABOVE) & (m < SOFT_BELOW)
    share: A = soft.sum((-2, -1)) / (m.shape[-2] * m.shape[-1])
    return share


def variation(m_NHW: NDArray[np.float32]) -> float:
    """Returns the standard deviation of N masks over the noise, averaged over the pixels, 0 to 0.5."""
    return float(m_NHW.std(axis=0).mean())


def frame_width(resolution: int) -> int:
    """Returns the width of the frame in pixels: 3 at 32 pixels, in proportion at other resolutions."""
    return max(1, round(3 * resolution / 32))


class Coverage(NamedTuple):
    """μ_mask over many masks, as in table 1."""

    mean: float  # 0 to 1
    deviation: float  # population standard deviation from mask to mask


def coverage(mean_N: torch.Tensor) -> Coverage:
    """Returns μ_mask of N masks and its deviation. mean_N: the mean value of each mask, 0 to 1."""
    mean_N = mean_N.double()
    return Coverage(float(mean_N.mean()), float(mean_N.std(correction=0)))


def mask_iou(m: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Returns the intersection over union of each mask, cut at 1/2, with its true mask: (N,) in [0, 1].

    Two empty masks agree in full. A generated image has no true mask. A judge supplies one: a segmenter that
    was trained on real images with their true masks (`trainer.reproduce.miniature.mask_judge`).

    Args:
        m: masks (N, 1, H, W) or (N, H, W) in [0, 1].
        true: true masks, bool, of the same shape.

    Raises:
        CgnInputError: the shapes differ.
    """
    if m.shape != true.shape:
        raise CgnInputError("masks", f"{tuple(m.shape)} and {tuple(true.shape)} must have one shape")
    drawn, true = (m > 0.5).flatten(1), true.flatten(1)
    union = (drawn | true).sum(1)
    return torch.where(union > 0, (drawn & true).sum(1) / union.clamp(min=1), 1.0)
