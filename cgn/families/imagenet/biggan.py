"""BigGAN-deep, the mechanism of the ImageNet family, in its trained form (paper section 3.2, appendix C).

Shape, foreground, background and the unconstrained cGAN are one such generator each (Brock, Donahue and
Simonyan, ICLR 2019). The network comes from ``pytorch-pretrained-biggan``. This module adds its sizes, the
authors' parameter names, and a calibration of random weights. `biggan_served` is the same function for
inference.
Shape suffixes: N rows, L latent, C classes, HW pixels.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from cgn.errors import CgnInputError

N_STATS = 51  # rows of batch-norm statistics: truncation 0, 0.02, ..., 1
MEASURED = (0, 25, 50)  # the rows that `calibrate` measures; it fills the others from these
EPS = 1e-4  # for batch norm and spectral norm
SMALLEST_MAP = 4  # pixels a side of the first map
FIRST = 16  # channels of that map, in units of ch
REDUCTION = 4  # ratio of a block's input channels to the channels of its inner convolutions

Layer = tuple[bool, int, int]  # doubles the resolution?, channels in, channels out, both in units of ch

# By resolution: the blocks, and the index of the block after self-attention.
LAYERS: dict[int, tuple[tuple[Layer, ...], int]] = {
    32: (
        ((False, 16, 16), (True, 16, 8), (False, 8, 8), (True, 8, 4), (False, 4, 2), (True, 2, 1)),
        4,
    ),
    64: (
        (
            *((False, 16, 16), (True, 16, 8), (False, 8, 8), (True, 8, 4)),
            *((False, 4, 4), (True, 4, 2), (True, 2, 1)),
        ),
        4,
    ),
    256: (
        (
            *((False, 16, 16), (True, 16, 16), (False, 16, 16), (True, 16, 8)),
            *((False, 8, 8), (True, 8, 8), (False, 8, 8), (True, 8, 4)),
            *((False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1)),
        ),
        8,
    ),
}


@dataclass(frozen=True)
class BigGANSizes:
    """Sizes of one BigGAN-deep. The class embedding has the length of the noise.

    Attributes:
        classes: number of labels.
        ch: channels at the full resolution; every other width is a multiple of it.
        z_dim: length of the noise, and of the class embedding.
        layers: the blocks, in order.
        attention: index of the block after self-attention.

    Raises:
        CgnInputError: impossible sizes.
    """

    classes: int
    ch: int
    z_dim: int
    layers: tuple[Layer, ...]
    attention: int

    @classmethod
    def at(cls, resolution: int, *, classes: int = 1000, ch: int = 128, z_dim: int = 128) -> Self:
        """Returns sizes for images with 256 pixels a side (by default the authors'), or 64 or 32 for
        miniatures.

        Raises:
            CgnInputError: another resolution, or impossible sizes.
        """
        if resolution not in LAYERS:
            allowed = ", ".join(map(str, LAYERS))
            raise CgnInputError("resolution", f"{resolution} is not one that BigGAN is built for: {allowed}")
        layers, attention = LAYERS[resolution]
        return cls(classes, ch, z_dim, layers, attention)

    def __post_init__(self) -> None:
        if self.classes < 1 or self.z_dim < 1:
            sizes = f"{self.classes} classes and {self.z_dim} noise values"
            raise CgnInputError("architecture", f"{sizes}; BigGAN takes at least 1 of each")
        if not 0 <= self.attention < len(self.layers):
            raise CgnInputError(
                "architecture", f"attention before block {self.attention}; there are {len(self.layers)}"
            )
        width = FIRST
        for i, (_, before, after) in enumerate(self.layers):
            if before != width or after not in (width, width // 2) or after < 1:
                raise CgnInputError(
                    "architecture",
                    f"block {i} is {before}-{after}; it must take {width} and keep or halve them",
                )
            width = after
        if width != 1:
            raise CgnInputError("architecture", f"the last block ends with {width} ch; let it end with 1")
        least = min(before for _, before, _ in self.layers)
        if least * self.ch < REDUCTION or self.layers[self.attention][1] * self.ch < 8:
            raise CgnInputError(
                "architecture", f"ch {self.ch} leaves a block or the attention without channels; take more"
            )

    @property
    def resolution(self) -> int:
        """Height and width of the output, in pixels."""
        return SMALLEST_MAP * 2 ** sum(doubles for doubles, _, _ in self.layers)


class BigGAN(nn.Module):
    """(u, y) -> colours in [-1, 1], three channels.

    The parameters and buffers have the authors' names (602 keys at 256 pixels), so their weights load as
    they are. Fresh weights are random; `calibrate` gives their images contrast. In training mode every
    forward pass makes a step of spectral norm's power iteration (Miyato et al., ICLR 2018). The batch-norm
    statistics do not change in either mode.

    Args:
        sizes: widths and blocks.
        mend_truncation: whether to interpolate batch-norm statistics correctly. The package, and so the
            authors' code, swaps the weights of the two rows. Published images were made so; hence the
            default, False.
    """

    def __init__(self, sizes: BigGANSizes, *, mend_truncation: bool = False) -> None:
        super().__init__()
        # Imported here: the package imports SciPy and an S3 client, which models of digits do not need.
        from pytorch_pretrained_biggan import model as package  # type: ignore[import-untyped]
        from pytorch_pretrained_biggan.config import BigGANConfig  # type: ignore[import-untyped]

        self.sizes = sizes
        self.mend_truncation = mend_truncation
        network = package.BigGAN(
            BigGANConfig(
                output_dim=sizes.resolution,
                z_dim=sizes.z_dim,
                class_embed_dim=sizes.z_dim,
                channel_width=sizes.ch,
                num_classes=sizes.classes,
                layers=list(sizes.layers),
                attention_layer_position=sizes.attention,
                eps=EPS,
                n_stats=N_STATS,
            )
        )
        self.embeddings = network.embeddings
        self.generator = network.generator
        # The package leaves these two uninitialised.
        nn.init.ones_(self.generator.bn.weight)
        nn.init.zeros_(self.generator.bn.bias)

    def forward(self, u_NL: torch.Tensor, y_NC: torch.Tensor, truncation: float) -> torch.Tensor:
        """Returns images, (N, 3, R, R) in [-1, 1].

        Args:
            u_NL: noise, normal within [-2, 2] and multiplied by the truncation.
            y_NC: weights over the classes, one-hot or a mixture.
            truncation: in (0, 1]; selects the batch-norm statistics.

        Raises:
            CgnInputError: a truncation outside (0, 1].
        """
        condition_NL = torch.cat([u_NL, self.embeddings(y_NC)], dim=1)
        return self.generator(condition_NL, read_truncation(truncation, mend=self.mend_truncation))


def read_truncation(truncation: float, *, mend: bool) -> float:
    """Returns the checked truncation at which the package's code must read the statistics.

    The package computes c * row[i] + (1 - c) * row[i + 1], where i and c are the integer and fractional part
    of truncation * 50. The weights are swapped, so the right statistics are at the mirror image of the
    truncation between the two rows. With ``mend`` this mirror image is returned.

    Raises:
        CgnInputError: a truncation outside (0, 1].
    """
    if not 0 < truncation <= 1:  # NaN too
        raise CgnInputError("truncation", f"{truncation} is outside (0, 1]; 1 is the full variety")
    if not mend:
        return truncation
    # A small distance from the rows: at a row, rounding decides which two rows the package takes.
    margin = 1e-9
    position = truncation * (N_STATS - 1)
    row = min(math.floor(position + margin), N_STATS - 2)
    mirrored = min(max(1 - (position - row), margin), 1 - margin)
    return (row + mirrored) / (N_STATS - 1)


@torch.no_grad()
def calibrate(biggan: BigGAN, seed: int, rows: int | None = None) -> None:
    """Changes fresh random weights in place, so that images have contrast and differ by noise and label.

    The class embedding gets the scale of the noise, attention is switched on, and spectral norm's power
    iterations converge. The batch-norm statistics become those of the network's own activations at every
    truncation.

    Activations are measured layer by layer at three truncations. Between these, statistics are interpolated
    linearly in the square of the truncation. This is exact in the first layer, whose input is linear in the
    noise.

    Args:
        biggan: a BigGAN of any sizes, on any device.
        seed: seed of the noise, the labels and the embedding.
        rows: number of random images for the statistics. Few images underestimate the variance, most in deep
            layers. None: as many as have 2^17 pixels, at least 8.
    """
    rows = rows or max(8, 2**17 // biggan.sizes.resolution**2)
    generator = torch.Generator().manual_seed(seed)
    state = biggan.state_dict()  # the tensors themselves, not copies
    embedding_LC = state["embeddings.weight"]
    embedding_LC.copy_(torch.randn(embedding_LC.shape, generator=generator))
    for name, tensor in state.items():
        if name.endswith(".gamma"):
            tensor.fill_(1.0)
        if name.endswith(".weight_orig"):
            stem = name.removesuffix("_orig")
            _converge(tensor.flatten(1), state[f"{stem}_u"], state[f"{stem}_v"])

    u_NL = torch.empty(rows, biggan.sizes.z_dim)
    nn.init.trunc_normal_(u_NL, a=-2.0, b=2.0, generator=generator)
    label_N = torch.randint(biggan.sizes.classes, (rows,), generator=generator)
    embedded_NL = embedding_LC.T[label_N.to(embedding_LC.device)]
    norms = [module for module in biggan.modules() if hasattr(module, "running_means")]
    training = biggan.training
    biggan.eval()
    for row in MEASURED:
        truncation = row / (N_STATS - 1)
        hooks = [norm.register_forward_pre_hook(_Measure(row)) for norm in norms]
        condition_NL = torch.cat([truncation * u_NL.to(embedded_NL.device), embedded_NL], dim=1)
        biggan.generator(condition_NL, truncation)
        for hook in hooks:
            hook.remove()
    biggan.train(training)
    for name, tensor in state.items():
        if name.endswith((".running_means", ".running_vars")):
            _fill(tensor)


class _Measure:
    """Pre-forward hook: sets a batch norm's statistics of one row to those of its input."""

    def __init__(self, row: int) -> None:
        self.row = row

    def __call__(self, norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        x_NCHW = inputs[0]
        norm.get_buffer("running_means")[self.row] = x_NCHW.mean((0, 2, 3))
        norm.get_buffer("running_vars")[self.row] = x_NCHW.var((0, 2, 3), correction=0)


def _fill(table: torch.Tensor) -> None:
    """Fills the rows between the measured ones, linearly in the square of the truncation."""
    for low, high in pairwise(MEASURED):
        for row in range(low + 1, high):
            table[row] = torch.lerp(table[low], table[high], (row**2 - low**2) / (high**2 - low**2))


def _converge(weight: torch.Tensor, u: torch.Tensor, v: torch.Tensor, steps: int = 100) -> None:
    """Moves u and v in place towards the first singular vectors of the weight, by power iteration."""
    for _ in range(steps):
        v.copy_(F.normalize(weight.mT @ u, dim=0))
        u.copy_(F.normalize(weight @ v, dim=0))
