"""Losses of a generative adversarial network, each a scalar tensor. Scores are logits of D."""

import torch
import torch.nn.functional as F


def adversarial_generator(score_fake: torch.Tensor) -> torch.Tensor:
    """Returns the non-saturating generator loss, mean softplus(-D(x_gen)) (Goodfellow et al. 2014)."""
    return F.softplus(-score_fake).mean()


def adversarial_discriminator(score_real: torch.Tensor, score_fake: torch.Tensor) -> torch.Tensor:
    """Returns the non-saturating discriminator loss, mean softplus(-D(x)) + mean softplus(D(x_gen))."""
    return F.softplus(-score_real).mean() + F.softplus(score_fake).mean()


def r1_penalty(score_real: torch.Tensor, x_real: torch.Tensor) -> torch.Tensor:
    """Returns R1: the mean squared norm of dD/dx at real images (Mescheder et al. 2018).

    Without R1 the training need not converge on low-dimensional data such as digits.

    Args:
        score_real: scores (N) of ``x_real``.
        x_real: images (N, C, H, W) that require gradients.
    """
    (gradient,) = torch.autograd.grad(score_real.sum(), x_real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
