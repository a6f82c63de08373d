"""The discriminator that mechanisms are trained against."""

import torch
from torch import nn

_SMALLEST_MAP = 4  # pixels a side, of the map that the scores are read from


class Discriminator(nn.Module):
    """D(x, y): a score, high for real pictures of class y.

    Convolutions that halve the picture down to 4x4, and a projection of the label (Miyato & Koyama 2018). The
    first takes four pixels as one place of four times the channels: at the full resolution, where
    convolutions cost most, there are none. No batch norm: statistics would mix pictures of one call, which
    are all real or all generated.

    Args:
        channels: of a picture, 3 of images, 1 of masks.
        classes: how many labels.
        resolution: height and width of the pictures in pixels, a power of two, 32 or more.
        width: channels at half the resolution.
    """

    def __init__(self, channels: int, classes: int, resolution: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, width, 3, padding=1),
            nn.LeakyReLU(0.2),
        ]
        side, mapped = resolution // 2, width
        while side > _SMALLEST_MAP:
            wider = min(2 * mapped, 4 * width)
            layers += [nn.Conv2d(mapped, wider, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            side, mapped = side // 2, wider
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.score = nn.Linear(mapped * side * side, 1)
        self.score_of_class = nn.Linear(mapped * side * side, classes)

    def forward(self, x_NCHW: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Scores (N,) of pictures (N, channels, R, R) under their class indices (N,)."""
        h_NF = self.features(x_NCHW)
        own: torch.Tensor = self.score_of_class(h_NF).gather(1, label_N[:, None])[:, 0]
        return own + self.score(h_NF)[:, 0]
