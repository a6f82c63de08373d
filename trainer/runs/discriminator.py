"""The discriminator that a CGN is trained against."""

import torch
from torch import nn


class Discriminator(nn.Module):
    """D(x, y): a score, high for real images of class y.

    Four convolutions and a projection of the label (Miyato & Koyama 2018). No batch norm: statistics would
    mix images of one call, which are all real or all generated.
    """

    def __init__(self, classes: int, width: int = 24) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 4 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.score = nn.Linear(4 * width * 4 * 4, 1)
        self.score_of_class = nn.Linear(4 * width * 4 * 4, classes)

    def forward(self, x_NCHW: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Scores (N,) of images (N, 3, 32, 32) in [-1, 1] under their class indices (N,)."""
        h_NF = self.features(x_NCHW)
        own: torch.Tensor = self.score_of_class(h_NF).gather(1, label_N[:, None])[:, 0]
        return own + self.score(h_NF)[:, 0]
