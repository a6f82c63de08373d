"""Convolutions with weights in the memory order of the CPU's kernels.

oneDNN computes convolutions on a CPU and needs the weights in an order that depends on the processor. A plain
convolution reorders them in every call. With many channels and few pixels this takes as long as the
convolution itself. Here the weights are reordered once. Rounding may differ.
"""

import torch
import torch.nn.functional as F
from torch import nn


class PackedConvolution(nn.Module):
    """A convolution of stride 1 for inference, optionally with a ReLU: (N, I, H, W) -> (N, O, H', W').

    It is fastest for maps with channels last, and its outputs are such maps. On a GPU, and in a dtype without
    support by the processor's kernels, it is a plain convolution.

    Args:
        weight_OIHW: float32 or bfloat16, on the device to run on; the module cannot move to another one.
        bias_O: bias of the same type.
        padding, dilation: in pixels, on all sides.
        relu: whether negative values become 0.
        size: most frequent height and width of the maps; the order is chosen for it.
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
    """Returns whether this build of PyTorch can reorder the weight, by the operations of torch.compile."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    return weight.dtype == torch.float32 or (
        weight.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
