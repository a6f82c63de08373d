"""3x3 convolutions with fewer multiplications, for CPUs: minimal filtering F(2x2, 3x3).

Winograd 1980; Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016, section 4.1.
Shape suffixes: N rows, C channels, HW pixels, O and I a weight's output and input.
"""

import torch
import torch.nn.functional as F
from torch import nn

_TILE = 2  # pixels a side of an output tile; its input tile has two more a side
_POINTS = (0.0, 1.0, -1.0)  # and infinity
_PIXELS_AT_ONCE = 1024  # fits the cache

# From these sizes on it is faster. It saves work per pair of channels and adds work per channel. On smaller
# maps the weights, which grow by 16/9, cost more than the pixels.
_FEWEST_CHANNELS, _SMALLEST_MAP = 256, 16


def winograd_pays(weight_OIHW: torch.Tensor, size: int) -> bool:
    """Returns whether ``Winograd`` is the fastest form of a convolution on maps of ``size`` pixels a side."""
    many = min(weight_OIHW.shape[:2]) >= _FEWEST_CHANNELS and size >= _SMALLEST_MAP and size % _TILE == 0
    return many and weight_OIHW.dtype == torch.float32 and weight_OIHW.device.type == "cpu"


class Winograd(nn.Module):
    """A float32 3x3 convolution, padded by 1, without bias, of maps with channels last, for inference.

    2x2 pixels of the output take 16 multiplications instead of 36. Convolution is a multiplication of
    polynomials: evaluate them at a few points, multiply the values, and interpolate. Simple points round
    little and sums are shorter, so the result is as exact as a plain convolution's. The height and width of
    maps must be even.
    """

    def __init__(self, weight_OIHW: torch.Tensor) -> None:
        super().__init__()
        points = torch.tensor(_POINTS, dtype=torch.float64)

        def evaluate(length: int) -> torch.Tensor:
            """Returns the matrix from coefficients to values; at infinity: the last coefficient."""
            at_infinity = torch.eye(length, dtype=torch.float64)[-1:]
            return torch.cat([torch.vander(points, length, increasing=True), at_infinity])

        split, join = torch.linalg.inv(evaluate(_TILE + 2)).T, evaluate(_TILE).T
        self.split = nn.Buffer(torch.kron(split, split).float())  # (16, 16), for an input tile
        self.join = nn.Buffer(torch.kron(join, join).float())  # (4, 16), for an output tile
        weight = torch.einsum("yh,xw,oihw->yxio", evaluate(3), evaluate(3), weight_OIHW.detach().double())
        self.weight = nn.Buffer(weight.flatten(0, 1).float().contiguous())  # (16, I, O)

    def forward(self, x_NHWC: torch.Tensor) -> torch.Tensor:
        n, h, w, c = x_NHWC.shape
        products, _, outputs = self.weight.shape
        framed = F.pad(x_NHWC, (0, 0, 1, 1, 1, 1))
        tiles = framed.unfold(1, _TILE + 2, _TILE).unfold(2, _TILE + 2, _TILE)  # (n, h / 2, w / 2, c, 4, 4)
        y = x_NHWC.new_empty(n, h // _TILE, _TILE, w // _TILE, _TILE, outputs)
        step = max(1, _PIXELS_AT_ONCE // (n * w * _TILE))
        for top in range(0, h // _TILE, step):
            some = tiles[:, top : top + step].permute(4, 5, 0, 1, 2, 3)
            values = (self.split @ some.reshape(products, -1)).view(products, -1, c)
            joined = self.join @ torch.bmm(values, self.weight).view(products, -1)
            joined = joined.view(_TILE, _TILE, *some.shape[2:5], outputs)
            y[:, top : top + step] = joined.permute(2, 3, 0, 4, 1, 5)
        return y.view(n, h, w, outputs)
