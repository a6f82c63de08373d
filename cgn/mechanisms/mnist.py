"""The mechanisms of the MNIST family (paper section 3.1 and appendix B): shape, and two textures.

Each maps noise u and a label to an image-shaped tensor of R x R pixels, 32 or 64. The label enters as weights
over the classes (one-hot for a plain label), so a mixture of labels is as good as one.
Shape suffixes: N rows, L latent, C classes, HW pixels.
"""

import torch
import torch.nn.functional as F
from torch import nn

LATENT = 32
SMALLEST_MAP = 8  # pixels a side of the map that the noise and the label become


def _stem(width: int, classes: int, resolution: int, wraps: bool) -> nn.Sequential:
    """[u, y] -> 8x8 map -> map of the full resolution, of ``width // 2`` channels.

    Each stage doubles the map: two stages make 32 pixels, three make 64.

    With ``wraps`` the picture is a torus, whose right side continues on its left. One wrapped pixel around
    the 8x8 map is all that takes: doubling makes it a frame of two pixels, and the convolution, here without
    padding, consumes one of them, so that every stage hands on a frame of one. The head consumes the last.
    """
    padding = 0 if wraps else 1
    layers: list[nn.Module] = [
        nn.Linear(LATENT + classes, width * SMALLEST_MAP**2),
        nn.Unflatten(1, (width, SMALLEST_MAP, SMALLEST_MAP)),
        nn.BatchNorm2d(width),
        nn.CircularPad2d(1 if wraps else 0),
    ]
    stages = (resolution // SMALLEST_MAP).bit_length() - 1
    for stage in range(1, stages + 1):
        channels = width if stage < stages else width // 2
        layers += [
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, channels, 3, padding=padding, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers)


class ShapeMechanism(nn.Module):
    """f_shape: (u, y) -> mask m in [0, 1], one channel; 1 is object.

    A sigmoid keeps the gradient of wrong pixels alive, where a hard clamp lets them die.
    """

    def __init__(self, width: int, classes: int, resolution: int) -> None:
        super().__init__()
        self.stem = _stem(width, classes, resolution, wraps=False)
        self.head = nn.Conv2d(width // 2, 1, 3, padding=1)

    def forward(self, u_NL: torch.Tensor, y_NC: torch.Tensor) -> torch.Tensor:
        """Mask, (N, 1, R, R) in [0, 1]."""
        return torch.sigmoid(self.head(self.stem(torch.cat([u_NL, y_NC], dim=1))))


class TextureMechanism(nn.Module):
    """f_text: (u, y) -> colours in [-1, 1], three channels, without global shape.

    The last layer shifts the picture cyclically by a random roll: what the mechanism draws may end up
    anywhere, so it can only draw what looks right everywhere. It wraps around, so the shift leaves no
    seam. Serves as foreground and as background.
    """

    def __init__(self, width: int, classes: int, resolution: int) -> None:
        super().__init__()
        self.stem = _stem(width, classes, resolution, wraps=True)
        self.head = nn.Conv2d(width // 2, 3, 3)

    def forward(self, u_NL: torch.Tensor, y_NC: torch.Tensor, roll_N2: torch.Tensor) -> torch.Tensor:
        """Texture, (N, 3, R, R) in [-1, 1], shifted down and right by roll_N2 pixels."""
        return cyclic_roll(torch.tanh(self.head(self.stem(torch.cat([u_NL, y_NC], dim=1)))), roll_N2)


def cyclic_roll(x_NCHW: torch.Tensor, roll_N2: torch.Tensor) -> torch.Tensor:
    """Every image shifted by its own (down, right); what leaves on one side enters on the other."""
    n, c, h, w = x_NCHW.shape
    row_NH = (torch.arange(h, device=x_NCHW.device) - roll_N2[:, :1]) % h
    column_NW = (torch.arange(w, device=x_NCHW.device) - roll_N2[:, 1:]) % w
    flat_NHW = (row_NH[:, :, None] * w + column_NW[:, None, :]).view(n, 1, h * w)
    return x_NCHW.flatten(2).gather(2, flat_NHW.expand(-1, c, -1)).view(n, c, h, w)


def one_hot(label_N: torch.Tensor, classes: int) -> torch.Tensor:
    """Label indices (N,) as weights over the classes, (N, C) float32."""
    return F.one_hot(label_N, classes).to(torch.float32)
