"""Jitter: small random changes of rows when they are recombined.

A classifier that sees hundreds of thousands of images exhausts a generator's shapes. Small affine changes add
handwriting that the generator rarely draws. Small colour shifts teach the classifier low-contrast shapes.
"""

import math

import torch
import torch.nn.functional as F

ROTATION = 0.3  # at most, in radians, in both directions
SCALING = 0.15  # at most, as a share of height and of width, independently
SHEAR = 0.2  # at most, shift of a row against its neighbour, in rows
SHIFT = 3 / 32  # at most, as a share of half the image: 1.5 of 32 pixels
FAINTEST_SHADE, STRONGEST_SHADE = 0.003, 0.3  # colour shift in [-1, 1], log-uniform between these

SHAPE_NUMBERS, SHADE_NUMBERS = 6, 4  # random numbers per row


def jitter_shapes(m_N1HW: torch.Tensor, random_NK: torch.Tensor) -> torch.Tensor:
    """Returns masks, each rotated, scaled, sheared and shifted a little, and cut at 1/2.

    Args:
        m_N1HW: masks in [0, 1]; beyond their edges is background.
        random_NK: numbers in [0, 1), SHAPE_NUMBERS or more for each mask.

    Returns:
        Masks of the same shape, each value 0 or 1.
    """
    if not len(m_N1HW):
        return m_N1HW  # affine_grid needs at least one
    turn, high, wide, shear, down, right = (2 * random_NK[:, :SHAPE_NUMBERS] - 1).unbind(1)
    cos, sin = torch.cos(ROTATION * turn), torch.sin(ROTATION * turn)
    high, wide, shear = 1 + SCALING * high, 1 + SCALING * wide, SHEAR * shear
    # The source of each pixel, in coordinates from -1 to 1.
    across = torch.stack([wide * cos, wide * (shear * cos - sin), SHIFT * right], dim=1)
    along = torch.stack([high * sin, high * (shear * sin + cos), SHIFT * down], dim=1)
    source_NHW2 = F.affine_grid(torch.stack([across, along], dim=1), list(m_N1HW.shape), align_corners=False)
    return F.grid_sample(m_N1HW, source_NHW2, align_corners=False).gt_(0.5)


def shades(random_NK: torch.Tensor) -> torch.Tensor:
    """Returns colour shifts for foregrounds or backgrounds, (N, 3, 1, 1), each at most STRONGEST_SHADE.

    Args:
        random_NK: numbers in [0, 1), SHADE_NUMBERS or more for each image.
    """
    strength = FAINTEST_SHADE * torch.exp(math.log(STRONGEST_SHADE / FAINTEST_SHADE) * random_NK[:, :1])
    return (strength * (2 * random_NK[:, 1:SHADE_NUMBERS] - 1))[:, :, None, None]
