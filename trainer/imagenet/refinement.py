"""A shallow network after the composer: appendix F's remedy for composites that look less real than x_gt."""

import torch
from torch import nn

WIDTH = 32  # channels
LEARNING_RATE = 1e-4  # of Adam


class Refinement(nn.Module):
    """x_gen -> x_gen with a correction, which begins as 0: three convolutions that see 7 pixels a side.

    It takes part in training alone: it lets the mechanisms leave to it what composing itself cannot do, such
    as a soft edge. Composites that are served are equation 2's.
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
        """Refined pictures (N, 3, H, W) in [-1, 1] of composites in [-1, 1]."""
        return (x_N3HW + self.correction(x_N3HW)).clamp(-1, 1)
