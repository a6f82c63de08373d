"""Equation 4 (section 3.1) as a table of its terms, lambda_1 to lambda_6.

L = λ1 L_L1 + λ2 L_perc + λ3 L_binary + λ4 L_mask + λ5 L_text + λ6 L_bg
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from cgn.losses.masks import binary_entropy, mask_interval

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of two batches of pictures; a scalar


@dataclass(frozen=True)
class Inputs:
    """Everything that the terms are computed from.

    Attributes:
        x_gen: composites, (N, 3, R, R) in [-1, 1].
        x_gt: pictures of the unconstrained cGAN for the same noise and labels, likewise.
        mask: (N, 1, R, R) in [0, 1].
        foreground, background: (N, 3, R, R) in [-1, 1].
        texture_target: returns the pictures that foregrounds should resemble in texture, likewise. It is a
            function because L_text alone needs the pictures.
        perceptual_distance: the distance of L_perc, of features.
        texture_distance: the distance of L_text, a style loss.
        saliency: returns the probability, 0 to 1, that a pixel belongs to an object; (N, 1, R, R).
        mask_lowest, mask_highest, mask_of_batch: see `mask_interval`.
    """

    x_gen: torch.Tensor
    x_gt: torch.Tensor
    mask: torch.Tensor
    foreground: torch.Tensor
    background: torch.Tensor
    texture_target: Callable[[], torch.Tensor]
    perceptual_distance: Distance
    texture_distance: Distance
    saliency: Callable[[torch.Tensor], torch.Tensor]
    mask_lowest: float
    mask_highest: float
    mask_of_batch: bool


def l_l1(inputs: Inputs) -> torch.Tensor:
    """Returns L_L1: the mean absolute difference of composites and x_gt, 0 to 2."""
    return F.l1_loss(inputs.x_gen, inputs.x_gt)


def l_perc(inputs: Inputs) -> torch.Tensor:
    """Returns L_perc: the perceptual distance of composites and x_gt, 0 or more."""
    return inputs.perceptual_distance(inputs.x_gen, inputs.x_gt)


def l_binary(inputs: Inputs) -> torch.Tensor:
    """Returns L_binary: the binary entropy of the masks in bits, 0 to 1."""
    return binary_entropy(inputs.mask)


def l_mask(inputs: Inputs) -> torch.Tensor:
    """Returns L_mask: how far mean mask values lie outside their interval, 0 or more."""
    return mask_interval(inputs.mask, inputs.mask_lowest, inputs.mask_highest, of_batch=inputs.mask_of_batch)


def l_text(inputs: Inputs) -> torch.Tensor:
    """Returns L_text: the texture distance of foregrounds and their targets, 0 or more."""
    return inputs.texture_distance(inputs.foreground, inputs.texture_target())


def l_bg(inputs: Inputs) -> torch.Tensor:
    """Returns L_bg: the mean probability, 0 to 1, that a background's pixel belongs to an object."""
    return inputs.saliency(inputs.background).mean()


class Term(NamedTuple):
    """A term of equation 4.

    Attributes:
        name: as in the option ``weight_<name>``, which is its λ, and in the reported values.
        loss: returns the term without its weight.
    """

    name: str
    loss: Callable[[Inputs], torch.Tensor]


# Their weights, with the presets of paper and code, are in trainer.imagenet.config.
TERMS = {
    "lambda_1": Term("l1", l_l1),  # λ1 L_L1
    "lambda_2": Term("perceptual", l_perc),  # λ2 L_perc
    "lambda_3": Term("binary", l_binary),  # λ3 L_binary (appendix C.1)
    "lambda_4": Term("mask", l_mask),  # λ4 L_mask (appendix C.1)
    "lambda_5": Term("text", l_text),  # λ5 L_text (appendix C.2)
    "lambda_6": Term("background", l_bg),  # λ6 L_bg
}
