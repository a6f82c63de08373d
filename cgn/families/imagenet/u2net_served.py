"""U²-Net as the mask network of a served CGN. A CPU uses the convolutions of `packed` and `winograd`."""

import torch
from torch import nn

from cgn.families.imagenet.u2net import Layer, U2Net, folded
from cgn.kernels.packed import PackedConvolution
from cgn.kernels.winograd import Winograd, winograd_pays


def served_u2net(net: U2Net, resolution: int, dtype: torch.dtype, device: torch.device | str) -> U2Net:
    """Returns a faster form of ``net`` for inference in eval mode, numerically as exact as `folded`.

    Args:
        net: the trained form; it is not changed.
        resolution: height and width of the images, a multiple of 32.
        dtype: type of the weights and feature maps, float32 or bfloat16.
        device: device of the returned form, which cannot move to another device.
    """
    served = folded(net).to(device, dtype)
    if torch.device(device).type != "cpu":
        return served
    for name, stage in served.named_children():
        if name.startswith("stage"):
            depth = int(name.removeprefix("stage").removesuffix("d"))
            size = resolution >> (depth - 1)
            for part, layer in list(stage.named_children()):
                assert isinstance(layer, Layer)
                setattr(stage, part, _served_layer(layer.conv_s1, size))
    return served


def _served_layer(convolution: nn.Conv2d, size: int) -> nn.Module:
    """Returns a layer whose batch norm is folded. ``size``: height of the stage's largest feature maps."""
    assert convolution.bias is not None
    dilation = int(convolution.dilation[0])
    if dilation == 1 and winograd_pays(convolution.weight, size):
        return _WinogradLayer(convolution.weight, convolution.bias)
    return PackedConvolution(
        convolution.weight, convolution.bias, padding=dilation, dilation=dilation, relu=True, size=size
    )


class _WinogradLayer(nn.Module):
    """A 3x3 convolution with ReLU, on (N, C, H, W)."""

    def __init__(self, weight_OIHW: torch.Tensor, bias_O: torch.Tensor) -> None:
        super().__init__()
        self.convolution = Winograd(weight_OIHW)
        self.bias_O = nn.Buffer(bias_O.detach().clone())

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        y_NHWC = self.convolution(x_NCHW.permute(0, 2, 3, 1)).add_(self.bias_O).relu_()
        return y_NHWC.permute(0, 3, 1, 2)
