"""The mechanisms of the MNIST family (paper section 3.1 and appendix B): shape, and two textures.

Each maps noise u and a label to an image-shaped tensor at 32x32. The label enters as weights over the
classes (one-hot for a plain label), so a mixture of labels is as good as one.
Shape suffixes: N rows, L latent, C classes, HW pixels.
"""

import torch
import torch.nn.functional as F
from torch import nn

RESOLUTION = 32
CLASSES = 10
LATENT = 32


def _stem(width: int, wraps: bool) -> nn.Sequential:
    """[u, y] -> 8x8 map -> 32x32 map of ``width // 2`` channels.

    With ``wraps`` the picture is a torus, whose right side continues on its left. One wrapped pixel around
    the 8x8 map is all that takes: doubled twice it is the two-pixel frame that each convolution, here
    without padding, consumes a pixel of. The result is 34x34, one pixel more on each side for the head.
    """
    padding = 0 if wraps else 1
    return nn.Sequential(
        nn.Linear(LATENT + CLASSES, width * 8 * 8),
        nn.Unflatten(1, (width, 8, 8)),
        nn.BatchNorm2d(width),
        nn.CircularPad2d(1 if wraps else 0),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(width, width, 3, padding=padding, bias=False),
        nn.BatchNorm2d(width),
        nn.LeakyReLU(0.2),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(width, width // 2, 3, padding=padding, bias=False),
        nn.BatchNorm2d(width // 2),
        nn.LeakyReLU(0.2),
    )


class ShapeMechanism(nn.Module):
    """f_shape: (u, y) -> mask m in [0, 1], one channel; 1 is object.

    A sigmoid keeps the gradient of wrong pixels alive, where a hard clamp lets them die.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = _stem(width, wraps=False)
        self.head = nn.Conv2d(width // 2, 1, 3, padding=1)

    def forward(self, u_NL: torch.Tensor, y_NC: torch.Tensor) -> torch.Tensor:
        """Mask, (N, 1, 32, 32) in [0, 1]."""
        return torch.sigmoid(self.head(self.stem(torch.cat([u_NL, y_NC], dim=1))))


class TextureMechanism(nn.Module):
    """f_text: (u, y) -> colours in [-1, 1], three channels, without global shape.

    The last layer shifts the picture cyclically by a random roll: what the mechanism draws may end up
    anywhere, so it can only draw what looks right everywhere. It wraps around, so the shift leaves no
    seam. Serves as foreground and as background.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = _stem(width, wraps=True)
        self.head = nn.Conv2d(width // 2, 3, 3)

    def forward(self, u_NL: torch.Tensor, y_NC: torch.Tensor, roll_N2: torch.Tensor) -> torch.Tensor:
        """Texture, (N, 3, 32, 32) in [-1, 1], shifted down and right by roll_N2 pixels."""
        return cyclic_roll(torch.tanh(self.head(self.stem(torch.cat([u_NL, y_NC], dim=1)))), roll_N2)


def cyclic_roll(x_NCHW: torch.Tensor, roll_N2: torch.Tensor) -> torch.Tensor:
    """Every image shifted by its own (down, right); what leaves on one side enters on the other."""
    n, c, h, w = x_NCHW.shape
    row_NH = (torch.arange(h, device=x_NCHW.device) - roll_N2[:, :1]) % h
    column_NW = (torch.arange(w, device=x_NCHW.device) - roll_N2[:, 1:]) % w
    flat_NHW = (row_NH[:, :, None] * w + column_NW[:, None, :]).view(n, 1, h * w)
    return x_NCHW.flatten(2).gather(2, flat_NHW.expand(-1, c, -1)).view(n, c, h, w)


def one_hot(label_N: torch.Tensor) -> torch.Tensor:
    """Label indices (N,) as weights over the classes, (N, 10) float32."""
    return F.one_hot(label_N, CLASSES).to(torch.float32)
