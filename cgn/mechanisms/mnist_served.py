"""The MNIST family as it is served: the function of `cgn.mechanisms.mnist` in inference, sooner.

Batch norm is part of the layer before it. Of the three doubled pixels that a 3x3 kernel covers in a direction
two are one pixel, so their weights add up: doubling and convolution are one 2x2 convolution of the small map,
to four places at once. Those four stay together, as one *cell* of the map, for the last convolution, which
makes a cell of 4x4 pixels of them. In the end, in one go, pixels go where they belong and textures roll.

In float32 pictures are those of the trained form but for rounding, at most 1e-4. bfloat16 takes a fraction of
the time where the CPU has AMX or AVX512-BF16; `make bench` says what it costs and what it gains.
Shape suffixes: N rows, L latent, C classes, HW pixels or places, O and I a weight's output and input.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cgn.mechanisms.mnist import LATENT, SMALLEST_MAP, MnistCGN
from cgn.mechanisms.network import Network
from cgn.noise import Mechanism

_SLOPE = 0.2  # of the leaky ReLUs
_CELL = 4  # pixels a side that the last convolution makes of a place
# Rows of a pass. Up to these sizes a row costs less the more of them there are; from there on it does not.
_FULL_PASS = {torch.float32: 32, torch.bfloat16: 64}
_SMALLER_PASSES = (8, 12, 16, 24)  # for whoever asks for less, who would wait for rows that nobody wants


class ServedMnist(Network):
    """The mechanisms of an MNIST CGN, for inference only.

    Args:
        trained: the trained form. Read only; none of it is kept.
        dtype: of weights and maps, float32 or bfloat16. Pictures are float32 in both.
    """

    latent = LATENT
    small = True

    def __init__(self, trained: MnistCGN, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(trained.classes, trained.resolution)
        self.batch_rows = _FULL_PASS[dtype]
        self.shape = _Mechanism(trained.shape.layers, trained.resolution, dtype, wraps=False)
        self.texture = _Mechanism(trained.texture.layers, trained.resolution, dtype, wraps=True)
        self.background = _Mechanism(trained.background.layers, trained.resolution, dtype, wraps=True)
        self._sizes: dict[tuple[Mechanism, int], list[int]] = {}

    def draw(
        self,
        mechanism: Mechanism,
        u_NL: torch.Tensor,
        y_NC: torch.Tensor,
        shift_N2: torch.Tensor,
        truncation: float,
    ) -> torch.Tensor:
        layers: _Mechanism = getattr(self, mechanism)
        cells_NHWO = layers(torch.cat([u_NL, y_NC], dim=1))
        if mechanism == "shape":
            return layers.pixels(torch.sigmoid(cells_NHWO))
        return layers.rolled_pixels(torch.tanh(cells_NHWO), shift_N2)

    def pass_rows(self, mechanism: Mechanism, wanted: int) -> int:
        # Bits may depend on the number of threads, which is the calling thread's own.
        key = mechanism, torch.get_num_threads()
        if key not in self._sizes:
            self._sizes[key] = self._equal_sizes(mechanism)
        return next((size for size in self._sizes[key] if size >= wanted), self.batch_rows)

    def _equal_sizes(self, mechanism: Mechanism) -> list[int]:
        """Sizes of smaller passes whose rows are a full one's to the bit, on this device; it is tried."""
        device = self.shape.first_OI.device
        generator = torch.Generator().manual_seed(0)
        u_NL = torch.randn(self.batch_rows, LATENT, generator=generator).to(device)
        y_NC = F.one_hot(torch.arange(self.batch_rows) % self.classes, self.classes).float().to(device)
        shift_N2 = torch.randint(self.resolution, (self.batch_rows, 2), generator=generator).to(device)
        full = self.draw(mechanism, u_NL, y_NC, shift_N2, 1.0)

        def equal(some: slice) -> bool:
            rows = self.draw(mechanism, u_NL[some], y_NC[some], shift_N2[some], 1.0)
            return torch.equal(rows, full[some])

        return [k for k in _SMALLER_PASSES if equal(slice(None, k)) and equal(slice(-k, None))]


class _Mechanism(nn.Module):
    """[u, y] -> cells of 4x4 pixels, (N, R/4, R/4, 16 * channels), before the last non-linearity.

    Maps have channels last. Those that a convolution reads have a frame of one place: of zeros, or of what is
    on the other side where the picture wraps around.
    """

    def __init__(self, trained: nn.Sequential, resolution: int, dtype: torch.dtype, *, wraps: bool) -> None:
        super().__init__()
        self.dtype, self.wraps = dtype, wraps
        self.side = resolution // _CELL
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
            self.near = _Convolution(near.weight, _bias(near), dtype)
            self.doublings = nn.ModuleList(_doubling(layer, dtype) for layer in doubled)
            self.last = _last(last, dtype)
        around = torch.arange(-1, SMALLEST_MAP + 1) % SMALLEST_MAP
        self.around = nn.Buffer((SMALLEST_MAP * around[:, None] + around).flatten())
        at = torch.arange(resolution)  # where a pixel lies in a row's cells: the sum of its row and column
        in_row = at // _CELL * self.side * _CELL**2 + at % _CELL * _CELL
        self.in_row, self.in_column = nn.Buffer(in_row), nn.Buffer(at // _CELL * _CELL**2 + at % _CELL)

    def forward(self, causes_NL: torch.Tensor) -> torch.Tensor:
        hidden_NC = _leaky(F.linear(causes_NL.to(self.dtype), self.first_OI, self.first_bias))
        x_NC = _leaky(F.linear(hidden_NC, self.second_OI, self.second_bias))
        x_NHWC = x_NC.view(len(x_NC), SMALLEST_MAP, SMALLEST_MAP, -1)
        x_NHWC = self._framed(_leaky(self.near(self._framed(x_NHWC))))
        for i, doubling in enumerate(self.doublings):
            if i:
                x_NHWC = _spread(x_NHWC)
            x_NHWC = _leaky(doubling(x_NHWC))
            if not self.wraps:
                _clear_frame(x_NHWC)
        return self.last(x_NHWC).float()

    def _framed(self, x_NHWC: torch.Tensor) -> torch.Tensor:
        """The smallest map with its frame."""
        if not self.wraps:
            return F.pad(x_NHWC, (0, 0, 1, 1, 1, 1))
        n, h, w, c = x_NHWC.shape
        return x_NHWC.flatten(1, 2).index_select(1, self.around).view(n, h + 2, w + 2, c)

    def pixels(self, cells_NHWO: torch.Tensor) -> torch.Tensor:
        """(N, channels, R, R), channels last in memory."""
        n, h, w, _ = cells_NHWO.shape
        x_NHWC = cells_NHWO.view(n, h, w, _CELL, _CELL, -1).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return x_NHWC.permute(0, 3, 1, 2)

    def rolled_pixels(self, cells_NHWO: torch.Tensor, roll_N2: torch.Tensor) -> torch.Tensor:
        """The same, each row's shifted by its own (down, right)."""
        n, r = len(cells_NHWO), _CELL * self.side
        back = torch.arange(r, device=roll_N2.device)
        row_NH = self.in_row[(back - roll_N2[:, :1]) % r]
        row_NH += r * r * torch.arange(n, device=roll_N2.device)[:, None]
        column_NW = self.in_column[(back - roll_N2[:, 1:]) % r]
        place = (row_NH[:, :, None] + column_NW[:, None, :]).flatten()
        x_NHWC = cells_NHWO.view(n * r * r, -1).index_select(0, place).view(n, r, r, -1)
        return x_NHWC.permute(0, 3, 1, 2)


class _Convolution(nn.Module):
    """A convolution without padding, of maps with channels last."""

    def __init__(self, weight_OIHW: torch.Tensor, bias_O: torch.Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight_OIHW = nn.Buffer(weight_OIHW.to(dtype).contiguous(memory_format=torch.channels_last))
        self.bias_O = nn.Buffer(bias_O.to(dtype, copy=True))

    def forward(self, x_NHWC: torch.Tensor) -> torch.Tensor:
        x_NCHW = x_NHWC.permute(0, 3, 1, 2)
        return F.conv2d(x_NCHW, self.weight_OIHW, self.bias_O).permute(0, 2, 3, 1)


def _leaky(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu_(x, _SLOPE)


def _spread(cells_NHWO: torch.Tensor) -> torch.Tensor:
    """Cells of four places -> those places."""
    n, h, w, c = cells_NHWO.shape
    return cells_NHWO.view(n, h, w, 2, 2, c // 4).transpose(2, 3).reshape(n, 2 * h, 2 * w, c // 4)


def _clear_frame(cells_NHWO: torch.Tensor) -> None:
    """Zeroes the outermost places: the padding of the convolution that comes."""
    n, h, w, c = cells_NHWO.shape
    cells = cells_NHWO.view(n, h, w, 2, 2, c // 4)
    cells[:, 0, :, 0] = cells[:, -1, :, 1] = 0
    cells[:, :, 0, :, 0] = cells[:, :, -1, :, 1] = 0


def _folded_linear(linear: nn.Linear, norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a linear layer and the batch norm after it, to a map with channels last."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale_C = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight_CPI = linear.weight.unflatten(0, (norm.num_features, -1)) * scale_C[:, None, None]
    bias_CP = (linear.bias.view(norm.num_features, -1) - norm.running_mean[:, None]) * scale_C[:, None]
    bias_CP = bias_CP + norm.bias[:, None]
    return weight_CPI.transpose(0, 1).flatten(0, 1), bias_CP.T.flatten()


def _bias(convolution: nn.Conv2d) -> torch.Tensor:
    assert convolution.bias is not None
    return convolution.bias


def _doubling(convolution: nn.Conv2d, dtype: torch.dtype) -> _Convolution:
    """Nearest-neighbour doubling and a 3x3 convolution, as a 2x2 convolution to cells.

    Of the six doubled pixels that two neighbours become, a 3x3 kernel covers the middle four: for the upper
    place of the cell the pixels are 1, 1 and 2, for the lower 1, 2 and 2; likewise from left to right.
    """
    first, middle, last = torch.eye(3)
    places = (torch.stack([first + middle, last]), torch.stack([first, middle + last]))
    kernels = [torch.einsum("oihw,yh,xw->oiyx", convolution.weight, y, x) for y in places for x in places]
    return _Convolution(torch.cat(kernels), _bias(convolution).repeat(4), dtype)


def _last(convolution: nn.Conv2d, dtype: torch.dtype) -> _Convolution:
    """The 3x3 convolution to four pixels of every place, as a 2x2 convolution of cells to 4x4 pixels each."""
    inputs, colours = convolution.in_channels, convolution.out_channels // 4
    kernel = convolution.weight.view(colours, 2, 2, inputs, 3, 3)
    # The cell's place and its pixel (down, right each), colour; place within the cell that is read, channel,
    # and which of the 2x2 cells.
    wide = kernel.new_zeros(2, 2, 2, 2, colours, 2, 2, inputs, 2, 2)
    for down, right, y, x in torch.cartesian_prod(*map(torch.arange, (2, 2, 3, 3))).tolist():
        (cell_y, place_y), (cell_x, place_x) = divmod(down + y, 2), divmod(right + x, 2)
        taps = kernel[..., y, x].permute(1, 2, 0, 3)
        wide[down, :, right, :, :, place_y, place_x, :, cell_y, cell_x] = taps
    weight = wide.reshape(_CELL**2 * colours, 4 * inputs, 2, 2)
    bias = _bias(convolution).view(colours, 2, 2).permute(1, 2, 0).expand(2, 2, 2, 2, colours).transpose(1, 2)
    return _Convolution(weight, bias.reshape(-1), dtype)
