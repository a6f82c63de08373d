"""The served form of the MNIST family: the same function as `cgn.families.mnist.network`, faster.

Batch norm is folded into the layer before it, and doubling into the convolution after it (cgn.kernels.cells).

In float32 the images differ from the trained form's by rounding, at most 1e-4. bfloat16 is several times
faster on a CPU with AMX or AVX512-BF16; `make bench` measures its speed and its error.
Shape suffixes: N rows, L latent, C classes, HW pixels or places, O and I a weight's output and input.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cgn.families.mnist.network import LATENT, SMALLEST_MAP, MnistCGN
from cgn.families.small_network import SmallNetwork
from cgn.kernels import cells
from cgn.noise import Mechanism

_CELL = 4  # pixels a side of the cell that the last convolution makes from a place


class ServedMnist(SmallNetwork):
    """The mechanisms of an MNIST CGN, for inference only.

    Args:
        trained: the trained form. It is not modified, and nothing of it stays referenced.
        dtype: type of weights and maps, float32 or bfloat16. Images are float32 in both cases.
    """

    latent = LATENT

    def __init__(self, trained: MnistCGN, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(trained.classes, trained.resolution, dtype)
        self.shape = _Mechanism(trained.shape.layers, 1, dtype, wraps=False)
        self.texture = _Mechanism(trained.texture.layers, 3, dtype, wraps=True)
        self.background = _Mechanism(trained.background.layers, 3, dtype, wraps=True)
        self.pixels = cells.Pixels(trained.resolution, _CELL)

    def draw(
        self,
        mechanism: Mechanism,
        u_NL: torch.Tensor,
        y_NC: torch.Tensor,
        shift_N2: torch.Tensor,
        truncation: float,
    ) -> torch.Tensor:
        cells_NHWO = getattr(self, mechanism)(torch.cat([u_NL, y_NC], dim=1))
        if mechanism == "shape":
            return self.pixels.still(torch.sigmoid(cells_NHWO))
        return self.pixels.rolled(torch.tanh(cells_NHWO), shift_N2)


class _Mechanism(nn.Module):
    """[u, y] -> cells of 4x4 pixels, (N, R/4, R/4, 16 * channels), before the last non-linearity."""

    def __init__(self, trained: nn.Sequential, channels: int, dtype: torch.dtype, *, wraps: bool) -> None:
        super().__init__()
        self.dtype, self.wraps = dtype, wraps
        first, second, norm = trained[0], trained[2], trained[4]
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        assert isinstance(norm, nn.BatchNorm2d)
        *inner, last = (layer for layer in trained if isinstance(layer, nn.Conv2d))
        _, *norms = (layer for layer in trained if isinstance(layer, nn.BatchNorm2d))
        near, *doubled = (fuse_conv_bn_eval(*pair) for pair in zip(inner, norms, strict=True))
        with torch.no_grad():
            self.first_OI = nn.Buffer(first.weight.to(dtype, copy=True))
            self.first_bias = nn.Buffer(first.bias.to(dtype, copy=True))
            weight_OI, bias_O = _folded_linear(second, norm)
            self.second_OI, self.second_bias = nn.Buffer(weight_OI.to(dtype)), nn.Buffer(bias_O.to(dtype))
            self.near = cells.Convolution(near.weight, cells.bias_of(near), dtype)
            self.doublings = nn.ModuleList(cells.doubling(layer, dtype) for layer in doubled)
            self.last = cells.to_pixels(last, channels, dtype)
        around = torch.arange(-1, SMALLEST_MAP + 1) % SMALLEST_MAP
        self.around = nn.Buffer((SMALLEST_MAP * around[:, None] + around).flatten())

    def forward(self, causes_NL: torch.Tensor) -> torch.Tensor:
        hidden_NC = cells.leaky(F.linear(causes_NL.to(self.dtype), self.first_OI, self.first_bias))
        x_NC = cells.leaky(F.linear(hidden_NC, self.second_OI, self.second_bias))
        x_NHWC = x_NC.view(len(x_NC), SMALLEST_MAP, SMALLEST_MAP, -1)
        x_NHWC = self._framed(cells.leaky(self.near(self._framed(x_NHWC))))
        for i, doubling in enumerate(self.doublings):
            if i:
                x_NHWC = cells.spread(x_NHWC)
            x_NHWC = cells.leaky(doubling(x_NHWC))
            if not self.wraps:
                cells.clear_frame(x_NHWC)
        return self.last(x_NHWC).float()

    def _framed(self, x_NHWC: torch.Tensor) -> torch.Tensor:
        """Returns the smallest map with its frame."""
        if not self.wraps:
            return F.pad(x_NHWC, (0, 0, 1, 1, 1, 1))
        n, h, w, c = x_NHWC.shape
        return x_NHWC.flatten(1, 2).index_select(1, self.around).view(n, h + 2, w + 2, c)


def _folded_linear(linear: nn.Linear, norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns weight and bias of a linear layer with its batch norm, for a map with channels last."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale_C = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight_CPI = linear.weight.unflatten(0, (norm.num_features, -1)) * scale_C[:, None, None]
    bias_CP = (linear.bias.view(norm.num_features, -1) - norm.running_mean[:, None]) * scale_C[:, None]
    bias_CP = bias_CP + norm.bias[:, None]
    return weight_CPI.transpose(0, 1).flatten(0, 1), bias_CP.T.flatten()
