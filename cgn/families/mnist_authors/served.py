"""The served form of the authors' MNIST models: the same function as `network.py`, faster.

Label embedding and batch norm are folded into the layer beside them, and doubling into the convolution after
it (cgn.kernels.cells). Instance norm uses statistics of each image, so it remains.
Shape suffixes: N rows, L latent, C classes, HW pixels or places, O and I a weight's output and input.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cgn.families.mnist.network import LATENT, SMALLEST_MAP
from cgn.families.mnist_authors.network import MASK_FLOOR, AuthorsMnistCGN
from cgn.families.small_network import SmallNetwork
from cgn.kernels import cells
from cgn.noise import Mechanism

_CELL = 2  # pixels a side of the cell that the last convolution makes from a cell of places
_EPSILON = 1e-5  # added to an instance norm's variance


class ServedAuthorsMnist(SmallNetwork):
    """The mechanisms of one of the authors' MNIST models, for inference only.

    Args:
        trained: the trained form. It is not modified, and nothing of it stays referenced.
        dtype: type of weights and maps, float32 or bfloat16. Images are float32 in both cases.
    """

    latent = LATENT

    def __init__(self, trained: AuthorsMnistCGN, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(trained.classes, trained.resolution, dtype)
        embedding_CE = trained.label_emb.weight
        with torch.no_grad():
            self.shape = _Shape(trained.f_shape, embedding_CE, dtype)
            self.texture = _Texture(trained.f_text1, embedding_CE, dtype)
            self.background = _Texture(trained.f_text2, embedding_CE, dtype)
        self.pixels = cells.Pixels(trained.resolution, _CELL)

    def draw(
        self,
        mechanism: Mechanism,
        u_NL: torch.Tensor,
        y_NC: torch.Tensor,
        shift_N2: torch.Tensor,
        truncation: float,
    ) -> torch.Tensor:
        row: torch.Tensor = getattr(self, mechanism)(torch.cat([u_NL, y_NC], dim=1))
        return row if mechanism == "shape" else self.pixels.rolled(row, shift_N2)


class _SmallestMap(nn.Module):
    """[u, y] -> 8x8 map, channels last."""

    def __init__(self, linear: nn.Module, embedding_CE: torch.Tensor) -> None:
        super().__init__()
        assert isinstance(linear, nn.Linear)
        of_u_OL, of_y_OE = linear.weight.split([LATENT, embedding_CE.shape[1]], dim=1)
        weight_OI = torch.cat([of_u_OL, of_y_OE @ embedding_CE.T], dim=1)
        # The output is ordered by place, then channel.
        places = (-1, SMALLEST_MAP**2)
        self.weight_OI = nn.Buffer(weight_OI.unflatten(0, places).transpose(0, 1).flatten(0, 1))
        self.bias_O = nn.Buffer(linear.bias.unflatten(0, places).T.flatten())

    def forward(self, causes_NL: torch.Tensor) -> torch.Tensor:
        x_NO = F.linear(causes_NL, self.weight_OI, self.bias_O)
        return x_NO.view(len(x_NO), SMALLEST_MAP, SMALLEST_MAP, -1)


class _Shape(nn.Module):
    """[u, y] -> mask, (N, 1, R, R) in [MASK_FLOOR, 1 - MASK_FLOOR]."""

    def __init__(self, trained: nn.Sequential, embedding_CE: torch.Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.smallest = _SmallestMap(trained[0], embedding_CE)
        (first, second), norms = _layers(trained)
        self.first = cells.doubling(fuse_conv_bn_eval(first, norms[0]), dtype)
        self.second = cells.doubling(fuse_conv_bn_eval(second, norms[1]), dtype)

    def forward(self, causes_NL: torch.Tensor) -> torch.Tensor:
        x_NHWC = _framed(_instance_norm(self.smallest(causes_NL)))
        x_NHWC = _inner(cells.spread(cells.leaky(self.first(x_NHWC.to(self.dtype)))))
        x_NHWC = _framed(_instance_norm(x_NHWC.float()))
        x_NHWC = _inner(cells.spread(cells.leaky(self.second(x_NHWC.to(self.dtype)))))
        m_NHWC = _instance_norm(x_NHWC.float()).clamp(MASK_FLOOR, 1 - MASK_FLOOR)
        return m_NHWC.permute(0, 3, 1, 2)


class _Texture(nn.Module):
    """[u, y] -> an unrolled texture in [-1, 1] as cells of 2x2 pixels, (N, R/2, R/2, 12)."""

    def __init__(self, trained: nn.Sequential, embedding_CE: torch.Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.smallest = _SmallestMap(trained[0], embedding_CE)
        (first, second, last), norms = _layers(trained)
        self.first = cells.doubling(fuse_conv_bn_eval(first, norms[0]), dtype)
        self.second = cells.doubling(fuse_conv_bn_eval(second, norms[1]), dtype)
        self.last = cells.to_pixels(fuse_conv_bn_eval(last, norms[2]), last.out_channels, dtype)

    def forward(self, causes_NL: torch.Tensor) -> torch.Tensor:
        x_NHWC = cells.leaky(self.first(_framed(self.smallest(causes_NL).to(self.dtype))))
        cells.clear_frame(x_NHWC)
        x_NHWC = cells.leaky(self.second(cells.spread(x_NHWC)))
        cells.clear_frame(x_NHWC)
        return torch.tanh(self.last(x_NHWC).float())


def _layers(trained: nn.Sequential) -> tuple[list[nn.Conv2d], list[nn.BatchNorm2d]]:
    """Returns the convolutions, and the batch norm after each."""
    return (
        [layer for layer in trained if isinstance(layer, nn.Conv2d)],
        [layer for layer in trained if isinstance(layer, nn.BatchNorm2d)],
    )


def _framed(x_NHWC: torch.Tensor) -> torch.Tensor:
    """Returns maps with a frame of zeros."""
    return F.pad(x_NHWC, (0, 0, 1, 1, 1, 1))


def _inner(x_NHWC: torch.Tensor) -> torch.Tensor:
    """Returns maps without their frame."""
    return x_NHWC[:, 1:-1, 1:-1]


def _instance_norm(x_NHWC: torch.Tensor) -> torch.Tensor:
    """Returns maps in which each channel of each image has mean 0 and variance 1."""
    x_NPC = x_NHWC.flatten(1, 2)
    x_NPC = x_NPC - x_NPC.mean(1, keepdim=True)
    variance_N1C = x_NPC.square().mean(1, keepdim=True)
    return x_NPC.mul_(torch.rsqrt(variance_N1C + _EPSILON)).view(x_NHWC.shape)
