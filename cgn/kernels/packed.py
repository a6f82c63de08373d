"""Convolutions whose weights lie as a CPU's kernels read them.

oneDNN, which computes convolutions on a CPU, reads weights in an order of its own, by processor. A plain
convolution brings them into it in every call, which for many channels on few pixels takes as long as the
convolution itself. Here it is done once. Sums may be rounded in another order.
"""

import torch
import torch.nn.functional as F
from torch import nn


class PackedConvolution(nn.Module):
    """A convolution of stride 1 for inference, perhaps with a ReLU after it: (N, I, H, W) -> (N, O, H', W').

    Fastest where maps lie channels last, as those that it makes do. On a GPU, and in a dtype that the
    processor's kernels do not know, it is a plain convolution.

    Args:
        weight_OIHW: float32 or bfloat16, on the device where it is to run, for good.
        bias_O: of the same type.
        padding, dilation: in pixels, of all sides.
        relu: whether negative values become 0.
        size: height and width of the maps that come most often, for which the order is chosen.
    """

    def __init__(
        self,
        weight_OIHW: torch.Tensor,
        bias_O: torch.Tensor | None = None,
        *,
        padding: int = 0,
        dilation: int = 1,
        relu: bool = False,
        size: int,
    ) -> None:
        super().__init__()
        self.padding, self.dilation, self.relu = padding, dilation, relu
        self.bias_O = None if bias_O is None else nn.Buffer(bias_O.detach().clone())
        self.packed = _can_pack(weight_OIHW)
        weight = weight_OIHW.detach().contiguous(memory_format=torch.channels_last)
        if self.packed:
            weight = torch.ops.aten.mkldnn_reorder_conv2d_weight(
                weight.to_mkldnn(), [padding], [1], [dilation], 1, [1, weight.shape[1], size, size]
            )
        self.weight = nn.Buffer(weight)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        if self.packed:
            both = [self.padding] * 2, [1, 1], [self.dilation] * 2
            after = "relu" if self.relu else "none"
            y: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
                x_NCHW, self.weight, self.bias_O, *both, 1, after, [], ""
            )
            return y
        y = F.conv2d(x_NCHW, self.weight, self.bias_O, padding=self.padding, dilation=self.dilation)
        return y.relu_() if self.relu else y


def _can_pack(weight: torch.Tensor) -> bool:
    """Whether this build of PyTorch packs such a weight. The operations are those of torch.compile's own."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    return weight.dtype == torch.float32 or (
        weight.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
