"""A shallow network after the composer (appendix F), for composites that look less real than x_gt."""

import torch
from torch import nn

WIDTH = 32  # channels
LEARNING_RATE = 1e-4  # of Adam


class Refinement(nn.Module):
    """Adds a correction to composites: three convolutions with a receptive field of 7 x 7 pixels.

    The correction starts at 0. The network takes part in training only. It corrects errors that composing
    causes, such as a hard edge, so that the mechanisms need not. Served composites are those of equation 2.
    """

    def __init__(self) -> None:
        super().__init__()
        last = nn.Conv2d(WIDTH, 3, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.correction = nn.Sequential(
            nn.Conv2d(3, WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.ReLU(),
            last,
        )

    def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        """Returns refined composites, (N, 3, H, W) in [-1, 1], for composites of the same shape and range."""
        return (x_N3HW + self.correction(x_N3HW)).clamp(-1, 1)
