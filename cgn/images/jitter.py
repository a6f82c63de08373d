"""Small random changes of rows as they are recombined: no two images of a stream have quite the same shape.

A classifier that sees hundreds of thousands of images exhausts the shapes that a generator knows well.
Turned, stretched and sheared a little they stay what they are, and stand for hands that the generator draws
too seldom. Colours that are moved a little show the classifier what it must not overlook: a shape that its
background hides but for a shade.
"""

import math

import torch
import torch.nn.functional as F

ROTATION = 0.3  # radians, either way
SCALING = 0.15  # share of height and of width, each on its own, either way
SHEAR = 0.2  # of rows against each other, per row, either way
SHIFT = 3 / 32  # of half the picture, either way: a pixel and a half of 32
FAINTEST_SHADE, STRONGEST_SHADE = 0.003, 0.3  # of colours in [-1, 1]; every order of magnitude alike

SHAPE_NUMBERS, SHADE_NUMBERS = 6, 4  # random numbers that one row takes


def jitter_shapes(m_N1HW: torch.Tensor, random_NK: torch.Tensor) -> torch.Tensor:
    """Masks (N, 1, H, W) in [0, 1], each turned, scaled, sheared and shifted a little, and cut at 1/2.

    Args:
        m_N1HW: masks. What comes in from beyond their edges is background.
        random_NK: numbers in [0, 1), SHAPE_NUMBERS or more for each mask.

    Returns:
        Masks of the same shape, each value 0 or 1.
    """
    if not len(m_N1HW):
        return m_N1HW  # affine_grid takes no less than one
    turn, high, wide, shear, down, right = (2 * random_NK[:, :SHAPE_NUMBERS] - 1).unbind(1)
    cos, sin = torch.cos(ROTATION * turn), torch.sin(ROTATION * turn)
    high, wide, shear = 1 + SCALING * high, 1 + SCALING * wide, SHEAR * shear
    # Where each pixel comes from, in coordinates from -1 to 1.
    across = torch.stack([wide * cos, wide * (shear * cos - sin), SHIFT * right], dim=1)
    along = torch.stack([high * sin, high * (shear * sin + cos), SHIFT * down], dim=1)
    source_NHW2 = F.affine_grid(torch.stack([across, along], dim=1), list(m_N1HW.shape), align_corners=False)
    return F.grid_sample(m_N1HW, source_NHW2, align_corners=False).gt_(0.5)


def shades(random_NK: torch.Tensor) -> torch.Tensor:
    """What to add to the channels of foregrounds or backgrounds: (N, 3, 1, 1), within STRONGEST_SHADE of 0.

    Args:
        random_NK: numbers in [0, 1), SHADE_NUMBERS or more for each picture.
    """
    strength = FAINTEST_SHADE * torch.exp(math.log(STRONGEST_SHADE / FAINTEST_SHADE) * random_NK[:, :1])
    return (strength * (2 * random_NK[:, 1:SHADE_NUMBERS] - 1))[:, :, None, None]
