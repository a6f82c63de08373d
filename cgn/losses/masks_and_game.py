"""Losses of a CGN, each a scalar tensor, each with its source."""

import torch
import torch.nn.functional as F


def binary_entropy(m: torch.Tensor) -> torch.Tensor:
    """L_binary (appendix C.1): pixel-wise binary entropy of masks, in bits, 0 to 1.

    0 where every pixel is 0 or 1.
    """
    p = m.clamp(1e-4, 1 - 1e-4)
    return -(p * p.log2() + (1 - p) * (1 - p).log2()).mean()


def mask_interval(m: torch.Tensor, lowest: float, highest: float) -> torch.Tensor:
    """L_mask (appendix C.1): how far each mask's mean lies outside [lowest, highest], averaged.

    The paper's interval is [tau, 1 - tau] with tau = 0.1; thin digits cover less than that and an inverted
    mask covers less than 0.9, so the bounds are separate here.

    Args:
        m: masks (N, 1, H, W) in [0, 1].
    """
    mu = m.mean(dim=(1, 2, 3))
    return (F.relu(lowest - mu) + F.relu(mu - highest)).mean()


def border_mass(m: torch.Tensor, width: int = 3) -> torch.Tensor:
    """Mean mask value in a frame of ``width`` pixels: an object stands within its picture.

    An inverted mask is all border, so this term tells it from the right one. (Reproducibility study by
    Bagad et al., ReScience C 2022, "edge loss".)
    """
    frame = torch.ones(m.shape[-2:], device=m.device, dtype=torch.bool)
    frame[width:-width, width:-width] = False
    return m[..., frame].mean()


def adversarial_generator(score_fake: torch.Tensor) -> torch.Tensor:
    """Non-saturating generator loss, mean softplus(-D(x_gen)) (Goodfellow et al. 2014)."""
    return F.softplus(-score_fake).mean()


def adversarial_discriminator(score_real: torch.Tensor, score_fake: torch.Tensor) -> torch.Tensor:
    """Non-saturating discriminator loss, mean softplus(-D(x)) + mean softplus(D(x_gen))."""
    return F.softplus(-score_real).mean() + F.softplus(score_fake).mean()


def r1_penalty(score_real: torch.Tensor, x_real: torch.Tensor) -> torch.Tensor:
    """R1: mean squared norm of dD/dx at real images (Mescheder et al. 2018).

    Without it the game need not converge on data of few dimensions, which these are.
    """
    (gradient,) = torch.autograd.grad(score_real.sum(), x_real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
