"""U²-Net, which finds the object in an image: the mask network of the ImageNet CGN.

Qin et al., *U²-Net: Going Deeper with Nested U-Structure for Salient Object Detection*, Pattern Recognition
106 (2020), section 3. Parameters have the names of the authors' release (xuebinqin/U-2-Net), so that its
files fit: u2net.pth (``FULL``) and u2netp.pth (``SMALL``).

The network is used in two ways, with different inputs and different upscaling of maps:

- as its authors do, on photographs: ``find_object`` scales and normalises, ``align_corners`` is False;
- as the CGN's authors do (paper section 3.2): on a generator's images in [-1, 1], without normalisation, with
  ``align_corners`` True.

Shape suffixes: N images, C channels, HW pixels; 3, 6, 7 channels.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cgn.errors import CgnInputError
from cgn.families.state_dicts import fits, fitted, read_state_dict, without_prefix

# (inner, outer) channels of the eleven stages, in the order in which they are computed: six down, five up.
Channels = Sequence[tuple[int, int]]

FULL: Channels = (
    *((32, 64), (32, 128), (64, 256), (128, 512), (256, 512), (256, 512)),
    *((256, 512), (128, 256), (64, 128), (32, 64), (16, 64)),
)
SMALL: Channels = ((16, 64),) * 11
PRESETS: Mapping[Literal["full", "small"], Channels] = {"full": FULL, "small": SMALL}

DEPTH = 6
_UPWARDS = range(DEPTH - 1, 0, -1)
_HEIGHTS = (7, 6, 5, 4, 4, 4)  # levels of the U-blocks at each depth
_DILATED_FROM = 5  # from this depth on, U-blocks are dilated

PHOTOGRAPH_SIDE = 320  # pixels; U²-Net's authors train and test with this size
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class Layer(nn.Module):
    """Convolution 3x3, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(channels_in, channels_out, 3, padding=dilation, dilation=dilation)
        self.bn_s1: nn.Module = nn.BatchNorm2d(channels_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn_s1(self.conv_s1(x)), inplace=True)


class ResidualUBlock(nn.Module):
    """RSU (section 3.1): a U-Net of ``height`` levels within one block, added to the block's first layer.

    Each level halves the map, except that the lowest level dilates its convolution instead. If the map is too
    small to be halved (RSU-4F), every level doubles the dilation of the level above.
    """

    def __init__(
        self, height: int, channels_in: int, inner: int, outer: int, *, dilated: bool, align_corners: bool
    ) -> None:
        super().__init__()
        self.height = height
        self.dilated = dilated
        self.align_corners = align_corners
        dilations = [2**level if dilated else 1 for level in range(height - 1)]
        self.rebnconvin = Layer(channels_in, outer)
        for level, dilation in enumerate(dilations, 1):
            self.add_module(f"rebnconv{level}", Layer(outer if level == 1 else inner, inner, dilation))
        self.add_module(f"rebnconv{height}", Layer(inner, inner, 2 * dilations[-1]))
        for level in range(height - 1, 0, -1):
            top = outer if level == 1 else inner
            self.add_module(f"rebnconv{level}d", Layer(2 * inner, top, dilations[level - 1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = x = self.rebnconvin(x)
        skips: list[torch.Tensor] = []
        for level in range(1, self.height):
            if level > 1 and not self.dilated:
                x = _halved(x)
            x = getattr(self, f"rebnconv{level}")(x)
            skips.append(x)
        x = getattr(self, f"rebnconv{self.height}")(x)
        for level in range(self.height - 1, 0, -1):
            skip = skips.pop()
            x = _scaled(x, skip, self.align_corners)
            x = getattr(self, f"rebnconv{level}d")(torch.cat([x, skip], dim=1))
        return x + first


class U2Net(nn.Module):
    """A U-Net whose stages are U-Nets (section 3.2): image -> probability of object.

    Args:
        channels: (inner, outer) of the eleven stages; ``FULL`` (44.0 million parameters), ``SMALL`` (1.1
            million), or any other widths, such as ``[(4, 16)] * 11``.
        align_corners: how maps are scaled up. False: the original; True: the CGN authors' copy.

    Images may have any height and width from 32 pixels on. At 32 the deepest map is a single pixel, so batch
    norm needs at least two images per step.

    Raises:
        CgnInputError: ``channels`` are not eleven pairs of positive numbers.
    """

    def __init__(self, channels: Channels = FULL, *, align_corners: bool = False) -> None:
        super().__init__()
        if len(channels) != 2 * DEPTH - 1 or any(len(c) != 2 or min(c) < 1 for c in channels):
            raise CgnInputError("channels", f"{channels} must be 11 pairs (inner, outer), each 1 or more")
        self.align_corners = align_corners

        def stage(depth: int, channels_in: int, inner: int, outer: int) -> ResidualUBlock:
            height, dilated = _HEIGHTS[depth - 1], depth >= _DILATED_FROM
            return ResidualUBlock(
                height, channels_in, inner, outer, dilated=dilated, align_corners=align_corners
            )

        down, up = channels[:DEPTH], channels[DEPTH:]
        below = 3
        for depth, (inner, outer) in enumerate(down, 1):
            self.add_module(f"stage{depth}", stage(depth, below, inner, outer))
            below = outer
        side_channels = [below]
        for depth, (inner, outer) in zip(_UPWARDS, up, strict=True):
            self.add_module(f"stage{depth}d", stage(depth, below + down[depth - 1][1], inner, outer))
            below = outer
            side_channels.insert(0, below)
        for depth, below in enumerate(side_channels, 1):
            self.add_module(f"side{depth}", nn.Conv2d(below, 1, 3, padding=1))
        self.outconv = nn.Conv2d(DEPTH, 1, 1)

    def forward(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        """Returns the probability of object, (N, 1, H, W) in [0, 1]: the sigmoid of the fused map."""
        return torch.sigmoid(self.outconv(self._sides(x_N3HW)))

    def logits(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        """Returns the supervised maps, (N, 7, H, W): the fused map, then the side outputs 1 to 6."""
        sides_N6HW = self._sides(x_N3HW)
        return torch.cat([self.outconv(sides_N6HW), sides_N6HW], dim=1)

    def _sides(self, x: torch.Tensor) -> torch.Tensor:
        """Returns one map of every depth, logits scaled to the image's size, (N, 6, H, W)."""
        image = x
        skips: list[torch.Tensor] = []
        for depth in range(1, DEPTH + 1):
            x = getattr(self, f"stage{depth}")(_halved(x) if depth > 1 else x)
            skips.append(x)
        skips.pop()
        sides = [getattr(self, f"side{DEPTH}")(x)]
        for depth in _UPWARDS:
            skip = skips.pop()
            x = torch.cat([_scaled(x, skip, self.align_corners), skip], dim=1)
            x = getattr(self, f"stage{depth}d")(x)
            sides.insert(0, getattr(self, f"side{depth}")(x))
        return torch.cat([_scaled(side, image, self.align_corners) for side in sides], dim=1)


def _halved(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def _scaled(x: torch.Tensor, like: torch.Tensor, align_corners: bool) -> torch.Tensor:
    """Returns ``x`` scaled to the height and width of ``like``, bilinear."""
    size = like.shape[-2:]
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)


def saliency_loss(logits_N7HW: torch.Tensor, mask_N1HW: torch.Tensor) -> torch.Tensor:
    """Returns U²-Net's training loss: binary cross-entropy, averaged over pixels and summed over the maps.

    Qin et al. 2020, equations 1 and 2, with all weights 1. As in their code, the mean over the pixels
    replaces the sum of equation 2.

    Args:
        logits_N7HW: from ``U2Net.logits``.
        mask_N1HW: true masks in [0, 1], 1 is object.
    """
    target = mask_N1HW.expand_as(logits_N7HW)
    losses = F.binary_cross_entropy_with_logits(logits_N7HW, target, reduction="none")
    return losses.mean(dim=(0, 2, 3)).sum()


def folded(net: U2Net) -> U2Net:
    """Returns the folded form: the same function as ``net`` in eval mode, faster.

    Batch norms are folded into the convolutions before them. Weights have channels last, which the kernels of
    CPU and GPU read without a copy. Rounding differs: in float32 the folded form is as close to the exact
    probability as ``net``. With U²-Net's own weights the error is at most 1e-4, and 1e-6 on average.

    Parameters are frozen. Gradients still reach the image, so a mechanism can be trained through the network.
    ``net`` is not modified.
    """
    served = copy.deepcopy(net).eval().requires_grad_(False)
    for layer in served.modules():
        if isinstance(layer, Layer) and isinstance(layer.bn_s1, nn.BatchNorm2d):
            layer.conv_s1 = fuse_conv_bn_eval(layer.conv_s1, layer.bn_s1)
            layer.bn_s1 = nn.Identity()
    return served.to(memory_format=torch.channels_last)


@torch.inference_mode()
def find_object(net: U2Net, pixels_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns where the object of a photograph is, as U²-Net's authors find it.

    The image is scaled to 320 x 320, divided by its largest value, and normalised by ImageNet's mean and
    deviation. The map is stretched to [0, 1] and scaled back. This follows data_loader.py and u2net_test.py
    of the authors, except that downscaling uses a triangle filter instead of a Gaussian.

    Args:
        net: in eval mode, with ``align_corners`` False, as ``load_u2net`` returns it; or its folded form.
        pixels_HWC: uint8 (H, W, 3), RGB.

    Returns:
        float32 (H, W) in [0, 1], 1 is object; all 0 if the network's map is constant.

    Raises:
        CgnInputError: pixels of another shape or type.
    """
    if (
        pixels_HWC.ndim != 3
        or pixels_HWC.shape[2] != 3
        or pixels_HWC.dtype != np.uint8
        or not pixels_HWC.size
    ):
        raise CgnInputError(
            "pixels",
            f"{pixels_HWC.dtype} {pixels_HWC.shape} must be uint8 (height, width, 3); convert to RGB",
        )
    weight = net.outconv.weight
    x = (
        torch.tensor(np.ascontiguousarray(pixels_HWC), device=weight.device)
        .movedim(-1, 0)[None]
        .to(torch.float32)
    )
    x = _resized(x, (PHOTOGRAPH_SIDE, PHOTOGRAPH_SIDE))
    x = x / x.max().clamp(min=1)  # a black image stays black
    mean, std = (x.new_tensor(values).view(1, 3, 1, 1) for values in (_IMAGENET_MEAN, _IMAGENET_STD))
    m = net(((x - mean) / std).to(weight.dtype)).to(torch.float32)
    m = (m - m.min()) / (m.max() - m.min()).clamp(min=torch.finfo(m.dtype).tiny)
    return _resized(m, pixels_HWC.shape[:2])[0, 0].clamp(0, 1).cpu().numpy()


def _resized(x_NCHW: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    return F.interpolate(x_NCHW, size, mode="bilinear", antialias=True)


def load_u2net(path: Path, channels: Channels | None = None, *, align_corners: bool = False) -> U2Net:
    """Returns a U²-Net from a file of weights, in eval mode on the CPU. Nothing in the file is executed.

    Args:
        path: ``.safetensors``, or ``.pth`` as the authors publish.
        channels: channels of the network; None: FULL or SMALL, whichever fits the tensors better.
        align_corners: see U2Net.

    Raises:
        CgnInputError: a missing, truncated or damaged file, or other tensors than the network's. The message
            names tensors that are missing, unknown, of a wrong shape or not finite.
    """
    return build_u2net(read_state_dict(path), path, channels, align_corners=align_corners)


def build_u2net(
    tensors: Mapping[str, torch.Tensor],
    source: Path | str,
    channels: Channels | None = None,
    *,
    align_corners: bool = False,
) -> U2Net:
    """Returns a U²-Net with the given tensors, not copied if they are float32; see load_u2net.

    Args:
        tensors: with or without the prefix ``module.`` and the counters ``num_batches_tracked``.
        source: origin of the tensors, for messages.
    """
    tensors = without_prefix(tensors)
    candidates = list(PRESETS.values()) if channels is None else [channels]
    with torch.device("meta"):  # spends neither memory nor random numbers on weights that are replaced
        networks = [U2Net(candidate, align_corners=align_corners) for candidate in candidates]
    net = max(networks, key=lambda net: sum(fits(tensors, *entry) for entry in net.state_dict().items()))
    kind = "full or small U²-Net" if channels is None else "U²-Net with the requested channels"
    state = fitted(tensors, net.state_dict(), source, f"give the weights of a {kind}")
    net.load_state_dict(state, assign=True)
    return net.eval()
