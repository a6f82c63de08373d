"""The discriminator of all adversarial trainings."""

import torch
from torch import nn

_SMALLEST_MAP = 4  # pixels a side of the last feature map, from which the scores are computed


class Discriminator(nn.Module):
    """D(x, y): a score, high for real images of class y.

    Strided convolutions reduce the image to 4x4, and the label enters by projection (Miyato & Koyama 2018).
    There is no batch norm: a batch has either real or generated images, so its statistics would reveal which.

    Args:
        channels: 3 for images, 1 for masks.
        classes: number of classes.
        resolution: height and width of the images in pixels, a power of two, 32 or more.
        width: channels of the first feature map.
        folded: start at half the resolution, with four pixels folded into the channels. This costs less and
            is enough for masks of strokes; fine textures need the full resolution.
    """

    def __init__(
        self, channels: int, classes: int, resolution: int, width: int, *, folded: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side = resolution
        if folded:
            layers.append(nn.PixelUnshuffle(2))
            side, channels = side // 2, 4 * channels
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
        mapped = width  # channels of the latest feature map
        while side > _SMALLEST_MAP:
            wider = min(2 * mapped, 4 * width)
            layers += [nn.Conv2d(mapped, wider, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            side, mapped = side // 2, wider
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.score = nn.Linear(mapped * side * side, 1)
        self.score_of_class = nn.Linear(mapped * side * side, classes)

    def forward(self, x_NCHW: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Returns the scores (N,) of images (N, channels, R, R) with class indices (N,)."""
        h_NF = self.features(x_NCHW)
        class_score: torch.Tensor = self.score_of_class(h_NF).gather(1, label_N[:, None])[:, 0]
        return class_score + self.score(h_NF)[:, 0]
