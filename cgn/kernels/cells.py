"""Nearest-neighbour doubling and the convolution after it, fused into one convolution on cells.

A 3x3 kernel covers three doubled pixels in each direction, and two of them are copies of one pixel. So their
weights add up: doubling and convolution become one 2x2 convolution of the small map, with four places as its
output. The four places form a *cell* of the map. The last convolution turns a cell of places into a cell of
pixels. A single step at the end moves the pixels to their positions and rolls textures.

Maps have channels last. The input of a convolution has a frame of one place: zeros, or, if the image wraps
around, the places of the opposite side.
Shape suffixes: N rows, C channels, HW pixels or places, O and I a weight's output and input.
"""

from math import isqrt

import torch
import torch.nn.functional as F
from torch import nn

_SLOPE = 0.2  # slope of the leaky ReLUs


class Convolution(nn.Module):
    """A convolution without padding, of maps with channels last."""

    def __init__(self, weight_OIHW: torch.Tensor, bias_O: torch.Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight_OIHW = nn.Buffer(weight_OIHW.to(dtype).contiguous(memory_format=torch.channels_last))
        self.bias_O = nn.Buffer(bias_O.to(dtype, copy=True))

    def forward(self, x_NHWC: torch.Tensor) -> torch.Tensor:
        x_NCHW = x_NHWC.permute(0, 3, 1, 2)
        return F.conv2d(x_NCHW, self.weight_OIHW, self.bias_O).permute(0, 2, 3, 1)


class Pixels(nn.Module):
    """Cells of pixels -> images of R x R pixels.

    Args:
        resolution: R.
        cell: pixels a side of a cell.
    """

    def __init__(self, resolution: int, cell: int) -> None:
        super().__init__()
        self.resolution, self.cell = resolution, cell
        at = torch.arange(resolution)  # a pixel's offset in the cells is in_row + in_column
        self.in_row = nn.Buffer(at // cell * resolution * cell + at % cell * cell)
        self.in_column = nn.Buffer(at // cell * cell**2 + at % cell)

    def still(self, cells_NHWO: torch.Tensor) -> torch.Tensor:
        """Returns images (N, channels, R, R), channels last in memory."""
        n, h, w, _ = cells_NHWO.shape
        x_NHYWXC = cells_NHWO.view(n, h, w, self.cell, self.cell, -1).transpose(2, 3)
        return x_NHYWXC.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)

    def rolled(self, cells_NHWO: torch.Tensor, roll_N2: torch.Tensor) -> torch.Tensor:
        """Returns images as `still`, each shifted cyclically by its own (down, right)."""
        n, r = len(cells_NHWO), self.resolution
        back = torch.arange(r, device=roll_N2.device)
        row_NH = self.in_row[(back - roll_N2[:, :1]) % r]
        row_NH += r * r * torch.arange(n, device=roll_N2.device)[:, None]
        column_NW = self.in_column[(back - roll_N2[:, 1:]) % r]
        place = (row_NH[:, :, None] + column_NW[:, None, :]).flatten()
        x_NHWC = cells_NHWO.view(n * r * r, -1).index_select(0, place).view(n, r, r, -1)
        return x_NHWC.permute(0, 3, 1, 2)


def leaky(x: torch.Tensor) -> torch.Tensor:
    """Applies the leaky ReLU in place."""
    return F.leaky_relu_(x, _SLOPE)


def spread(cells_NHWO: torch.Tensor) -> torch.Tensor:
    """Returns cells of four places as maps of places."""
    n, h, w, c = cells_NHWO.shape
    return cells_NHWO.view(n, h, w, 2, 2, c // 4).transpose(2, 3).reshape(n, 2 * h, 2 * w, c // 4)


def clear_frame(cells_NHWO: torch.Tensor) -> None:
    """Zeroes the outermost places of cells of four: the padding of the next convolution."""
    n, h, w, c = cells_NHWO.shape
    cells = cells_NHWO.view(n, h, w, 2, 2, c // 4)
    cells[:, 0, :, 0] = cells[:, -1, :, 1] = 0
    cells[:, :, 0, :, 0] = cells[:, :, -1, :, 1] = 0


def doubling(convolution: nn.Conv2d, dtype: torch.dtype) -> Convolution:
    """Returns doubling and a 3x3 convolution, fused into one 2x2 convolution to cells of four places.

    The 2x2 convolution reads pixels 1 and 2 of a column. For the cell's upper place the 3x3 kernel covers the
    doubled pixels 1, 1, 2, for the lower place 1, 2, 2; likewise from left to right.
    """
    first, middle, last = torch.eye(3)
    places = (torch.stack([first + middle, last]), torch.stack([first, middle + last]))
    kernels = [torch.einsum("oihw,yh,xw->oiyx", convolution.weight, y, x) for y in places for x in places]
    return Convolution(torch.cat(kernels), bias_of(convolution).repeat(4), dtype)


def to_pixels(convolution: nn.Conv2d, colours: int, dtype: torch.dtype) -> Convolution:
    """Returns the last 3x3 convolution as a 2x2 convolution from cells of four places to cells of pixels.

    A place becomes one pixel, or several pixels a side (Shi et al. 2016); a cell has twice as many a side.
    """
    inputs, side = convolution.in_channels, isqrt(convolution.out_channels // colours)
    kernel = convolution.weight.view(colours, side, side, inputs, 3, 3)
    # The cell's place and its pixel (down, right each), colour; place within the cell that is read, channel,
    # and which of the 2x2 cells.
    wide = kernel.new_zeros(2, side, 2, side, colours, 2, 2, inputs, 2, 2)
    for down, right, y, x in torch.cartesian_prod(*map(torch.arange, (2, 2, 3, 3))).tolist():
        (cell_y, place_y), (cell_x, place_x) = divmod(down + y, 2), divmod(right + x, 2)
        taps = kernel[..., y, x].permute(1, 2, 0, 3)
        wide[down, :, right, :, :, place_y, place_x, :, cell_y, cell_x] = taps
    weight = wide.reshape(4 * convolution.out_channels, 4 * inputs, 2, 2)
    bias = bias_of(convolution).view(colours, side, side).permute(1, 2, 0)
    bias = bias.expand(2, 2, side, side, colours).transpose(1, 2)
    return Convolution(weight, bias.reshape(-1), dtype)


def bias_of(convolution: nn.Conv2d) -> torch.Tensor:
    assert convolution.bias is not None
    return convolution.bias
