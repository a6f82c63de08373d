"""The digit classifier of the paper's MNIST experiments."""

import torch
from torch import nn


class DigitClassifier(nn.Module):
    """x -> logits: the small CNN that learning-not-to-learn (Kim et al. 2019) and the paper share."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.BatchNorm2d(3),
            nn.Conv2d(3, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(7),  # of the 8x8 map: the last row and column take no part, as in the original
            nn.Flatten(),
        )
        self.logits = nn.Linear(64, classes)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of images (N, 3, 32, 32) in [-1, 1]."""
        logits: torch.Tensor = self.logits(self.features(x_NCHW))
        return logits
