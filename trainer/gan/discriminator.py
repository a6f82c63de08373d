"""The discriminator that mechanisms are trained against."""

import torch
from torch import nn

_SMALLEST_MAP = 4  # pixels a side, of the map that the scores are read from


class Discriminator(nn.Module):
    """D(x, y): a score, high for real pictures of class y.

    Convolutions that halve the picture down to 4x4, and a projection of the label (Miyato & Koyama 2018). No
    batch norm: statistics would mix pictures of one call, which are all real or all generated.

    Args:
        channels: of a picture, 3 of images, 1 of masks.
        classes: how many labels.
        resolution: height and width of the pictures in pixels, a power of two, 32 or more.
        width: channels of the first map.
        folded: begin at half the resolution, with four pixels as one place of four times the channels. It
            costs less, and is enough for strokes; fine textures need the other.
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
        mapped = width
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
