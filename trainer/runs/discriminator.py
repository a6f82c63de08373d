"""The discriminator that a CGN is trained against."""

import torch
from torch import nn

_SMALLEST_MAP = 4  # pixels a side, of the map that the scores are read from


class Discriminator(nn.Module):
    """D(x, y): a score, high for real images of class y.

    Convolutions that halve the image down to 4x4, and a projection of the label (Miyato & Koyama 2018). No
    batch norm: statistics would mix images of one call, which are all real or all generated.

    Args:
        classes: how many labels.
        resolution: height and width of the images in pixels, a power of two, 32 or more.
        width: channels at full resolution.
    """

    def __init__(self, classes: int, resolution: int = 32, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.2)]
        side, channels = resolution, width
        while side > _SMALLEST_MAP:
            wider = min(2 * channels, 4 * width)
            layers += [nn.Conv2d(channels, wider, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            side, channels = side // 2, wider
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.score = nn.Linear(channels * side * side, 1)
        self.score_of_class = nn.Linear(channels * side * side, classes)

    def forward(self, x_NCHW: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Scores (N,) of images (N, 3, R, R) in [-1, 1] under their class indices (N,)."""
        h_NF = self.features(x_NCHW)
        own: torch.Tensor = self.score_of_class(h_NF).gather(1, label_N[:, None])[:, 0]
        return own + self.score(h_NF)[:, 0]
