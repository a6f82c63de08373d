"""Losses on masks, each a scalar tensor: L_binary, L_mask and the edge loss."""

import torch
import torch.nn.functional as F


def binary_entropy(m: torch.Tensor) -> torch.Tensor:
    """Returns L_binary (appendix C.1): mean binary entropy of the pixels in bits, 0 to 1; 0 for hard masks.

    Args:
        m: masks of any shape, in [0, 1].
    """
    p = m.clamp(1e-4, 1 - 1e-4)
    return -(p * p.log2() + (1 - p) * (1 - p).log2()).mean()


def mask_interval(
    m_N1HW: torch.Tensor, lowest: float, highest: float, *, of_batch: bool = False
) -> torch.Tensor:
    """Returns L_mask (appendix C.1): how far mean mask values lie outside [lowest, highest], 0 or more.

    The paper's interval is [τ, 1 - τ] with τ = 0.1. Thin digits cover less than 0.1, and an inverted mask of
    them covers less than 0.9. So the bounds are separate here.

    Args:
        m_N1HW: masks in [0, 1].
        lowest: τ in the paper.
        highest: 1 - τ in the paper.
        of_batch: True for the mean over all masks, the paper's expectation; False for the mean of each mask,
            whose distances are averaged, as in the authors' code. For a single mask both are the same.
    """
    if of_batch:
        m_N1HW = m_N1HW.mean(0, keepdim=True)
    mu_N = m_N1HW.mean(dim=(1, 2, 3))
    return (F.relu(lowest - mu_N) + F.relu(mu_N - highest)).mean()


def edge_loss(m: torch.Tensor, width: int = 3) -> torch.Tensor:
    """Returns the mean mask value in a frame along the picture's edges, 0 to 1.

    An object lies inside its picture, so the frame should be empty. An inverted mask fills the frame, so this
    loss separates it from the right one. (Reproducibility study by Bagad et al., ReScience C 2022.)

    Args:
        m: masks (..., H, W) in [0, 1].
        width: of the frame, in pixels.
    """
    frame = torch.ones(m.shape[-2:], device=m.device, dtype=torch.bool)
    frame[width:-width, width:-width] = False
    return m[..., frame].mean()
