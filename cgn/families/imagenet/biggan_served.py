"""The served form of BigGAN-deep: the same function as `biggan.BigGAN` in eval mode, faster.

Constants are folded once, above all spectral norm. Batch norm with its conditional scale and offset depends
on the row and the truncation; it becomes one multiply-add per channel, so nothing is stored per truncation.
Maps have channels last: a 1x1 convolution is then a matrix product, and the skip path drops channels and
doubles pixels without copies. Shape suffixes: N rows, L latent, C channels (of y: classes), HW pixels, O and
I a weight's output and input.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import nn

from cgn.errors import CgnInputError
from cgn.families.imagenet import biggan
from cgn.families.imagenet.biggan import EPS, N_STATS, BigGANSizes, Layer
from cgn.kernels.packed import PackedConvolution
from cgn.kernels.winograd import Winograd, winograd_pays

# On a CPU the last, widest maps are computed in strips of this many pixels, which fit its cache.
STRIP_PIXELS = 4096

# `_Subpixel` is faster on maps of this many pixels a side or more; on smaller ones its weights cost more.
SUBPIXEL_FROM = 16

# `PackedConvolution` is faster from this number of weights on.
PACKED_FROM = 1 << 20

Affine = tuple[torch.Tensor, torch.Tensor]  # scale and offset, (N, 1, 1, C) float32
Statistics = tuple[torch.Tensor, torch.Tensor]  # means and variances, (C,), of all norms side by side


class ServedBigGAN(nn.Module):
    """(u, y) -> colours in [-1, 1], three channels, for inference only.

    On a CPU rows run one by one. This is faster than a batch, and a row's pixels do not depend on other rows.

    Args:
        sizes: sizes of the trained form.
        weights: state dict of the trained form. It is not modified, and nothing of it stays referenced.
        dtype: type of weights and maps. float32 gives the trained form's images up to rounding. bfloat16
            takes half the memory, and is faster on a CPU with AVX512-BF16 or AMX. Sums are float32 in both.
        device: device to run on. The network cannot move to another one, because CPU and GPU use different
            convolutions.
        mend_truncation: as in the trained form.
        rows_at_once: rows of a forward pass, at least 1; None: 1 on a CPU, all rows elsewhere.

    Raises:
        CgnInputError: another dtype, or weights of other sizes.
    """

    def __init__(
        self,
        sizes: BigGANSizes,
        weights: Mapping[str, torch.Tensor],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        mend_truncation: bool = False,
        rows_at_once: int | None = None,
    ) -> None:
        super().__init__()
        if dtype not in (torch.float32, torch.bfloat16):
            raise CgnInputError("dtype", f"{dtype} is not served; take torch.float32 or torch.bfloat16")
        self.sizes = sizes
        self.dtype = dtype
        self.mend_truncation = mend_truncation
        on_cpu = torch.device(device).type == "cpu"
        self.rows_at_once = 1 if rows_at_once is None and on_cpu else rows_at_once
        self.strip_pixels = STRIP_PIXELS if on_cpu else sizes.resolution**2

        read = _Reader(weights, device)
        z, ch = sizes.z_dim, sizes.ch
        self.embedding_LC = nn.Buffer(read.tensor("embeddings.weight", z, sizes.classes))
        units = biggan.SMALLEST_MAP**2 * biggan.FIRST * ch
        self.first_IO = nn.Buffer(_input_major(read.folded("generator.gen_z", units, 2 * z), dtype))
        self.first_bias = nn.Buffer(read.tensor("generator.gen_z.bias", units))

        blocks: list[_Block] = []
        norms: list[_Norm] = []
        size = biggan.SMALLEST_MAP
        for i, (doubles, before, after) in enumerate(sizes.layers):
            name = f"generator.layers.{i + (i >= sizes.attention)}"  # attention counts as a block
            blocks.append(_Block(read, name, (doubles, before * ch, after * ch), size, dtype))
            for k, width in enumerate((before * ch, *[blocks[-1].inner] * 3)):
                norms.append(_conditional_norm(read, name, k, width, 2 * z))
            size *= 2 if doubles else 1
        self.blocks = nn.ModuleList(blocks)
        width = sizes.layers[sizes.attention][1] * ch
        self.attention = _Attention(read, f"generator.layers.{sizes.attention}", width, dtype)
        norms.append(_last_norm(read, ch, 2 * z))

        # All norms side by side: first their scales, then their offsets.
        self.widths = [norm.means.shape[1] for norm in norms]
        scale, offset, base_scale, base_offset, means, variances = zip(*norms, strict=True)
        self.gains_IO = nn.Buffer(_input_major(torch.cat(scale + offset), dtype))
        self.gains_base = nn.Buffer(torch.cat(base_scale + base_offset))
        self.means = nn.Buffer(torch.cat(means, dim=1))
        self.variances = nn.Buffer(torch.cat(variances, dim=1))

        # Three channels of a convolution with ch channels, as rows: 3 * (3 * down + right) + colour.
        rgb_OIHW = read.folded("generator.conv_to_rgb", ch, ch, 3, 3)[:3]
        self.taps_OI = nn.Buffer(rgb_OIHW.permute(2, 3, 0, 1).reshape(27, ch).to(dtype))
        self.rgb_bias = nn.Buffer(read.tensor("generator.conv_to_rgb.bias", ch)[:3].clone())

    @torch.no_grad()
    def forward(self, u_NL: torch.Tensor, y_NC: torch.Tensor, truncation: float) -> torch.Tensor:
        """Returns images, float32 (N, 3, R, R) in [-1, 1].

        Args:
            u_NL: noise, normal within [-2, 2] and multiplied by the truncation.
            y_NC: weights over the classes, one-hot or a mixture.
            truncation: in (0, 1]; selects the batch-norm statistics. It may differ in each call.

        Raises:
            CgnInputError: a truncation outside (0, 1].
        """
        statistics = self._statistics(truncation)
        rows = self.rows_at_once or max(1, len(u_NL))
        passes = zip(u_NL.split(rows), y_NC.split(rows), strict=True)
        return torch.cat([self._draw(u, y, statistics) for u, y in passes])

    def _statistics(self, truncation: float) -> Statistics:
        """Returns the means and variances of all norms at a truncation, computed as in the package."""
        at = biggan.read_truncation(truncation, mend=self.mend_truncation)
        share, whole = math.modf(at / (1 / (N_STATS - 1)))
        row = int(whole)
        if share == 0:
            return self.means[row], self.variances[row]
        blended = [t[row] * share + t[row + 1] * (1 - share) for t in (self.means, self.variances)]
        return blended[0], blended[1]

    def _draw(self, u_NL: torch.Tensor, y_NC: torch.Tensor, statistics: Statistics) -> torch.Tensor:
        mean_C, var_C = statistics
        # A copy, because the order of summation may depend on the memory address of a row.
        embedded_NL = F.linear(y_NC.clone(), self.embedding_LC)
        condition_NL = torch.cat([u_NL, embedded_NL], dim=1).to(self.dtype)
        gains_NC = (condition_NL @ self.gains_IO).float() + self.gains_base
        scale_NC, offset_NC = gains_NC.chunk(2, dim=1)
        scale_NC = scale_NC * torch.rsqrt(var_C + EPS)
        offset_NC = offset_NC - mean_C * scale_NC
        split = (t_NC[:, None, None].split(self.widths, dim=3) for t_NC in (scale_NC, offset_NC))
        affines = list(zip(*split, strict=True))

        x_NC = (condition_NL @ self.first_IO).float() + self.first_bias
        x_NHWC = x_NC.to(self.dtype).view(len(x_NC), biggan.SMALLEST_MAP, biggan.SMALLEST_MAP, -1)
        blocks = cast(list[_Block], self.blocks)
        for i, block in enumerate(blocks):
            if i == self.sizes.attention:
                x_NHWC = self.attention(x_NHWC)
            h_NHWC = block(x_NHWC, affines[4 * i : 4 * i + 4])
            if i < len(blocks) - 1:
                x_NHWC = block.widen(h_NHWC, x_NHWC)
        return self._finish(block, h_NHWC, x_NHWC, affines[-1])

    def _finish(self, last: "_Block", h: torch.Tensor, x_NHWC: torch.Tensor, affine: Affine) -> torch.Tensor:
        """Computes the last block's widening, the last norm and the convolution to colours, strip by strip.

        The products of each pixel with the 27 taps are added to the 9 pixels around it. So a strip does not
        need its neighbours, and the widest map never exists as a whole.
        """
        n, r = h.shape[:2]
        step = max(2, self.strip_pixels // r)
        canvas_CNHW = h.new_zeros(3, n, r + 2, r + 2, dtype=torch.float32)
        for top in range(0, r, step):
            strip = slice(top, top + step)
            below = slice(top // 2, (top + step) // 2) if last.doubles else strip
            z_NHWC = last.widen(h[:, strip], x_NHWC[:, below])
            z_PC = _norm_relu(z_NHWC, affine, out=z_NHWC).flatten(0, 2)
            taps_CNHW = (self.taps_OI @ z_PC.T).float().view(27, n, -1, r)
            for i, tap_CNHW in enumerate(taps_CNHW.split(3)):
                down, right = divmod(i, 3)
                y, x = top + 2 - down, 2 - right
                canvas_CNHW[:, :, y : y + tap_CNHW.shape[2], x : x + r] += tap_CNHW
        colours_NCHW = canvas_CNHW[:, :, 1:-1, 1:-1].transpose(0, 1)
        return torch.tanh(colours_NCHW + self.rgb_bias[:, None, None])


class _Block(nn.Module):
    """Norm, ReLU and convolution, four times: 1x1, 3x3 (after doubling, if any), 3x3, 1x1, beside a skip."""

    def __init__(self, read: "_Reader", name: str, layer: Layer, size: int, dtype: torch.dtype) -> None:
        """layer: its widths in channels. size: pixels a side of the input."""
        super().__init__()
        doubles, before, after = layer
        self.doubles = doubles
        self.inner = inner = before // biggan.REDUCTION
        squeeze = read.folded(f"{name}.conv_0", inner, before, 1, 1)
        near = read.folded(f"{name}.conv_1", inner, inner, 3, 3)
        far = read.folded(f"{name}.conv_2", inner, inner, 3, 3)
        expand = read.folded(f"{name}.conv_3", after, inner, 1, 1)
        wide = size * (1 + doubles)
        self.squeeze_OI = nn.Buffer(squeeze.flatten(1).to(dtype))
        if not doubles:
            self.near = _convolution(near, wide, dtype)
        elif size >= SUBPIXEL_FROM:
            self.near = _Subpixel(near, dtype)
        else:
            self.near = nn.Sequential(_Doubling(), _convolution(near, wide, dtype))
        self.far = _convolution(far, wide, dtype)
        self.expand_OI = nn.Buffer(expand.flatten(1).to(dtype))
        self.expand_bias = nn.Buffer(read.tensor(f"{name}.conv_3.bias", after).to(dtype))

    def forward(self, x_NHWC: torch.Tensor, affines: list[Affine]) -> torch.Tensor:
        """Returns the output of all but the last convolution. Biases are folded into the norms after them."""
        h_NHWC = F.linear(_norm_relu(x_NHWC, affines[0]), self.squeeze_OI)
        h_NHWC = self.near(_norm_relu(h_NHWC, affines[1], out=h_NHWC))
        h_NHWC = self.far(_norm_relu(h_NHWC, affines[2], out=h_NHWC))
        return _norm_relu(h_NHWC, affines[3], out=h_NHWC)

    def widen(self, h_NHWC: torch.Tensor, x_NHWC: torch.Tensor) -> torch.Tensor:
        """Returns the last convolution plus the skip: the input's first channels, doubled if necessary."""
        y_NHWC = F.linear(h_NHWC, self.expand_OI, self.expand_bias)
        n, h, w, c = y_NHWC.shape
        if not self.doubles:
            return y_NHWC.add_(x_NHWC[..., :c])
        y_NHWC.view(n, h // 2, 2, w // 2, 2, c).add_(x_NHWC[:, :, None, :, None, :c])
        return y_NHWC


def _norm_relu(x_NHWC: torch.Tensor, affine: Affine, out: torch.Tensor | None = None) -> torch.Tensor:
    """Returns ReLU(scale * x + offset) in x's type; may write to ``out``."""
    scale, offset = affine
    if x_NHWC.dtype == torch.float32:
        return torch.addcmul(offset, x_NHWC, scale, out=out).relu_()
    # Scale and offset stay float32: their rounding would shift whole channels.
    if len(x_NHWC) > 1:
        return (x_NHWC * scale).add_(offset).relu_().to(x_NHWC.dtype)
    # The only operation that combines a bfloat16 map with float32 factors in one pass.
    zero = torch.zeros_like(scale).flatten()
    y_PC = F.batch_norm(x_NHWC.flatten(0, 2), zero, zero + 1, scale.flatten(), offset.flatten(), eps=0.0)
    # A ReLU that is several times as fast: the sign bit is the same in int16.
    y_PC.view(torch.int16).clamp_(min=0)
    return y_PC.view(x_NHWC.shape)


def _input_major(weight_OI: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Returns (I, O) in memory, with which a CPU multiplies a single row several times as fast."""
    return weight_OI.T.to(dtype).contiguous()


def _convolution(weight_OIHW: torch.Tensor, size: int, dtype: torch.dtype) -> nn.Module:
    """Returns a 3x3 convolution, padded by 1, without bias, in its fastest form for maps of that size."""
    weight_OIHW = weight_OIHW.to(dtype)
    if winograd_pays(weight_OIHW, size):
        return Winograd(weight_OIHW)
    if weight_OIHW.numel() >= PACKED_FROM:
        return _Packed(weight_OIHW, padding=1, size=size)
    return _Convolution(weight_OIHW)


class _Packed(PackedConvolution):
    """A packed convolution of maps with channels last."""

    def forward(self, x_NHWC: torch.Tensor) -> torch.Tensor:
        return super().forward(x_NHWC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class _Convolution(nn.Module):
    """A 3x3 convolution, padded by 1, without bias, of maps with channels last."""

    def __init__(self, weight_OIHW: torch.Tensor) -> None:
        super().__init__()
        self.weight_OIHW = nn.Buffer(weight_OIHW.contiguous(memory_format=torch.channels_last))

    def forward(self, x_NHWC: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x_NHWC.permute(0, 3, 1, 2), self.weight_OIHW, padding=1).permute(0, 2, 3, 1)


class _Doubling(nn.Module):
    """Nearest-neighbour doubling."""

    def forward(self, x_NHWC: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x_NHWC.permute(0, 3, 1, 2), scale_factor=2).permute(0, 2, 3, 1)


class _Subpixel(nn.Module):
    """Nearest-neighbour doubling and a 3x3 convolution in one: a 2x2 convolution at the low resolution.

    A 3x3 kernel covers three doubled pixels in each direction, and two of them are copies of one pixel. So
    their weights add up to a 2x2 kernel for each of the four places that a pixel becomes.
    """

    def __init__(self, weight_OIHW: torch.Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        left, middle, right = torch.eye(3, device=weight_OIHW.device)
        places = (torch.stack([left, middle + right]), torch.stack([left + middle, right]))
        kernels = [torch.einsum("oihw,yh,xw->oiyx", weight_OIHW, y, x) for y in places for x in places]
        self.four = _Convolution(torch.cat(kernels).to(dtype))

    def forward(self, x_NHWC: torch.Tensor) -> torch.Tensor:
        n, h, w, c = x_NHWC.shape
        y = x_NHWC.new_empty(n, h, 2, w, 2, c)
        for i, place_NHWC in enumerate(self.four(x_NHWC).split(c, dim=3)):  # each (n, h + 1, w + 1, c)
            down, right = divmod(i, 2)
            y[:, :, down, :, right] = place_NHWC[:, down : down + h, right : right + w]
        return y.view(n, 2 * h, 2 * w, c)


class _Attention(nn.Module):
    """Self-attention (Zhang et al., ICML 2019): every pixel attends to the map, pooled to half its size."""

    def __init__(self, read: "_Reader", name: str, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.widths = {"theta": width // 8, "phi": width // 8, "g": width // 2}
        inputs = [read.folded(f"{name}.snconv1x1_{k}", w, width, 1, 1) for k, w in self.widths.items()]
        output = read.folded(f"{name}.snconv1x1_o_conv", width, width // 2, 1, 1)
        self.inputs_OI = nn.Buffer(torch.cat(inputs).flatten(1).to(dtype))
        self.output_OI = nn.Buffer((output.flatten(1) * read.tensor(f"{name}.gamma", 1)).to(dtype))

    def forward(self, x_NHWC: torch.Tensor) -> torch.Tensor:
        """Adds attention to x in place. P: pixels, Q: pooled pixels."""
        theta, phi, g = self.widths.values()
        all_NHWC = F.linear(x_NHWC, self.inputs_OI)
        theta_NPC = all_NHWC[..., :theta].flatten(1, 2)
        pooled_NCHW = F.max_pool2d(all_NHWC[..., theta:].permute(0, 3, 1, 2), 2)
        phi_NCQ, g_NCQ = pooled_NCHW.flatten(2).split([phi, g], dim=1)
        weights_NPQ = torch.softmax(theta_NPC @ phi_NCQ, dim=2)
        return x_NHWC.add_(F.linear(weights_NPQ @ g_NCQ.mT, self.output_OI).view(x_NHWC.shape))


class _Norm(NamedTuple):
    """A conditional batch norm with EPS: (base_scale + scale @ c) * x^ + base_offset + offset @ c.

    x^ is the normalised input, c the condition.
    """

    scale: torch.Tensor  # (C, 2 L)
    offset: torch.Tensor  # (C, 2 L)
    base_scale: torch.Tensor  # (C,)
    base_offset: torch.Tensor  # (C,)
    means: torch.Tensor  # (N_STATS, C)
    variances: torch.Tensor  # (N_STATS, C)


def _conditional_norm(read: "_Reader", block: str, k: int, width: int, condition: int) -> _Norm:
    """Returns a block's norm k, with the bias of convolution k - 1 folded in."""
    name = f"{block}.bn_{k}"
    means = read.tensor(f"{name}.running_means", N_STATS, width)
    if k:
        means = means - read.tensor(f"{block}.conv_{k - 1}.bias", width)
    scale, offset = (read.folded(f"{name}.{part}", width, condition) for part in ("scale", "offset"))
    variances = read.tensor(f"{name}.running_vars", N_STATS, width)
    return _Norm(scale, offset, torch.ones_like(means[0]), torch.zeros_like(means[0]), means, variances)


def _last_norm(read: "_Reader", width: int, condition: int) -> _Norm:
    """Returns the last norm, whose scale and offset do not depend on the condition."""
    scale, offset = (read.tensor(f"generator.bn.{part}", width) for part in ("weight", "bias"))
    means, variances = (read.tensor(f"generator.bn.running_{s}", N_STATS, width) for s in ("means", "vars"))
    none = means.new_zeros(width, condition)
    return _Norm(none, none, scale, offset, means, variances)


class _Reader:
    """Reads tensors from a trained BigGAN's state dict to a device, and checks their shapes."""

    def __init__(self, weights: Mapping[str, torch.Tensor], device: torch.device | str) -> None:
        self.weights = weights
        self.device = device

    def tensor(self, name: str, *shape: int) -> torch.Tensor:
        tensor = self.weights.get(name)
        if tensor is None:
            raise CgnInputError("weights", f"{name} is missing; give a whole BigGAN of these sizes")
        if tensor.shape != shape:
            actual, expected = ("x".join(map(str, s)) for s in (tensor.shape, shape))
            raise CgnInputError(
                "weights", f"{name} is {actual}, not {expected}; give the sizes of these weights"
            )
        # A copy, because the order of summation may depend on a tensor's address, which is arbitrary in a
        # file.
        return tensor.detach().to(self.device, torch.float32, copy=True)

    def folded(self, name: str, *shape: int) -> torch.Tensor:
        """Returns a weight divided by its spectral norm, as last estimated by the power iteration."""
        weight = self.tensor(f"{name}.weight_orig", *shape)
        u = self.tensor(f"{name}.weight_u", shape[0])
        v = self.tensor(f"{name}.weight_v", math.prod(shape[1:]))
        return weight / torch.dot(u, torch.mv(weight.flatten(1), v))
