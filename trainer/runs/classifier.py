"""The classifier of the paper's MNIST experiments."""

import torch
from torch import nn


class DigitClassifier(nn.Module):
    """x -> logits: the small CNN that learning-not-to-learn (Kim et al. 2019) and the paper share.

    Args:
        classes: how many.
        resolution: height and width of the images in pixels, a multiple of 4, 8 or more.
    """

    def __init__(self, classes: int, resolution: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.BatchNorm2d(3),
            nn.Conv2d(3, 32, 5, padding=2),
            # Before the ReLU, which commutes with the maximum and so has a quarter of the pixels left.
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            # Of the 8x8 map at 32 pixels: the last row and column take no part, as in the original.
            nn.AvgPool2d(resolution // 4 - 1),
            nn.Flatten(),
        )
        self.logits = nn.Linear(64, classes)
        self.to(memory_format=torch.channels_last)  # the layout in which convolutions are fastest

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, 3, resolution, resolution) in [-1, 1]."""
        logits: torch.Tensor = self.logits(self.features(x_NCHW))
        return logits
