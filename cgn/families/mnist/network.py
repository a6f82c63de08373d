"""The mechanisms of the MNIST family (paper section 3.1 and appendix B): shape, and two textures.

Each maps noise u and a label to an image-shaped tensor of R x R pixels, 32 or 64. The label enters as weights
over the classes (one-hot for a single label), so a mixture of labels works as well.
Shape suffixes: N rows, L latent, C classes, HW pixels.
"""

import torch
import torch.nn.functional as F
from torch import nn

from cgn.families.network import Network
from cgn.noise import Mechanism

LATENT = 32
HIDDEN = 128  # units between the noise and the map
SMALLEST_MAP = 8  # pixels a side of the map that the noise and the label become


def _layers(width: int, classes: int, resolution: int, channels: int, *, wraps: bool) -> nn.Sequential:
    """Returns the layers [u, y] -> 8x8 map -> image with ``channels`` at the full resolution.

    Two linear layers and a convolution on the small map let noise and label interact at low cost; they decide
    the slant and the stroke of a digit. Then the map doubles until it has half the resolution. Four channels
    of each place become its four pixels (Shi et al. 2016), so no convolution runs at the full resolution,
    where it would cost most.

    With ``wraps`` the image is a torus: its right side continues on its left. This needs only a frame of two
    wrapped pixels around the 8x8 map. The first convolution has no padding and consumes one pixel of the
    frame. Doubling turns the remaining pixel into two, so every convolution leaves a frame of one pixel. The
    last convolution consumes it.
    """
    padding = 0 if wraps else 1
    layers: list[nn.Module] = [
        nn.Linear(LATENT + classes, HIDDEN),
        nn.LeakyReLU(0.2),
        nn.Linear(HIDDEN, width * SMALLEST_MAP**2),
        nn.Unflatten(1, (width, SMALLEST_MAP, SMALLEST_MAP)),
        nn.BatchNorm2d(width),
        nn.LeakyReLU(0.2),
        nn.CircularPad2d(2 if wraps else 0),
    ]
    layers += _convolution(width, padding)
    for _ in range((resolution // SMALLEST_MAP).bit_length() - 2):
        layers += [nn.Upsample(scale_factor=2), *_convolution(width, padding)]
    layers += [_pixels(width, channels, padding), nn.PixelShuffle(2)]
    return nn.Sequential(*layers)


def _pixels(width: int, channels: int, padding: int) -> nn.Conv2d:
    """Returns the convolution that makes the four pixels of a place.

    Its initial weights make the four pixels equal (Aitken et al. 2017). Otherwise images would begin with a
    checkerboard pattern, which training removes slowly.
    """
    convolution = nn.Conv2d(width, 4 * channels, 3, padding=padding)
    with torch.no_grad():
        for parameter in convolution.parameters():
            parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))
    return convolution


def _convolution(width: int, padding: int) -> list[nn.Module]:
    return [
        nn.Conv2d(width, width, 3, padding=padding, bias=False),
        nn.BatchNorm2d(width),
        nn.LeakyReLU(0.2),
    ]


class ShapeMechanism(nn.Module):
    """f_shape: (u, y) -> mask m in [0, 1], one channel; 1 is object.

    A sigmoid keeps the gradient of wrong pixels alive; a hard clamp would set it to 0.
    """

    def __init__(self, width: int, classes: int, resolution: int) -> None:
        super().__init__()
        self.layers = _layers(width, classes, resolution, 1, wraps=False)

    def forward(self, u_NL: torch.Tensor, y_NC: torch.Tensor) -> torch.Tensor:
        """Returns masks, (N, 1, R, R) in [0, 1]."""
        return torch.sigmoid(self.layers(torch.cat([u_NL, y_NC], dim=1)))


class TextureMechanism(nn.Module):
    """f_text: (u, y) -> colours in [-1, 1], three channels, without global shape.

    The last layer shifts the image cyclically by a random roll. The mechanism cannot predict where its pixels
    end up, so it can only draw what looks right everywhere. The image wraps around, so the shift leaves no
    seam. The class is used for the foreground and for the background.
    """

    def __init__(self, width: int, classes: int, resolution: int) -> None:
        super().__init__()
        self.layers = _layers(width, classes, resolution, 3, wraps=True)

    def forward(self, u_NL: torch.Tensor, y_NC: torch.Tensor, roll_N2: torch.Tensor) -> torch.Tensor:
        """Returns textures, (N, 3, R, R) in [-1, 1], shifted down and right by roll_N2 pixels."""
        return cyclic_roll(torch.tanh(self.layers(torch.cat([u_NL, y_NC], dim=1))), roll_N2)


class MnistCGN(Network):
    """The three learned mechanisms of the MNIST family (appendix B, left)."""

    latent = LATENT

    def __init__(self, width: int, classes: int, resolution: int) -> None:
        super().__init__(classes, resolution)
        self.shape = ShapeMechanism(width, classes, resolution)
        self.texture = TextureMechanism(width, classes, resolution)
        self.background = TextureMechanism(width, classes, resolution)

    def draw(
        self,
        mechanism: Mechanism,
        u_NL: torch.Tensor,
        y_NC: torch.Tensor,
        shift_N2: torch.Tensor,
        truncation: float,
    ) -> torch.Tensor:
        inputs = (u_NL, y_NC) if mechanism == "shape" else (u_NL, y_NC, shift_N2)
        row: torch.Tensor = getattr(self, mechanism)(*inputs)
        return row


def cyclic_roll(x_NCHW: torch.Tensor, roll_N2: torch.Tensor) -> torch.Tensor:
    """Returns images shifted cyclically, each by its own (down, right)."""
    n, c, h, w = x_NCHW.shape
    row_NH = (torch.arange(h, device=x_NCHW.device) - roll_N2[:, :1]) % h
    column_NW = (torch.arange(w, device=x_NCHW.device) - roll_N2[:, 1:]) % w
    flat_NHW = (row_NH[:, :, None] * w + column_NW[:, None, :]).view(n, 1, h * w)
    return x_NCHW.flatten(2).gather(2, flat_NHW.expand(-1, c, -1)).view(n, c, h, w)


def one_hot(label_N: torch.Tensor, classes: int) -> torch.Tensor:
    """Returns label indices (N,) as weights over the classes, (N, C) float32."""
    return F.one_hot(label_N, classes).to(torch.float32)
