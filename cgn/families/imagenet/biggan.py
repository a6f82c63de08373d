"""BigGAN-deep, the mechanism of the ImageNet family, as it is trained (paper section 3.2 and appendix C).

Shape, foreground and background each are one such generator, and so is the unconstrained cGAN beside them
(Brock, Donahue and Simonyan, ICLR 2019). The network is the one of ``pytorch-pretrained-biggan``; here are
its sizes, its parameters under the authors' names, and what random weights need to be of use.
`biggan_served` is the same function for inference.
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
EPS = 1e-4  # of batch norm and of spectral norm
SMALLEST_MAP = 4  # pixels a side of the map that noise and label become
FIRST = 16  # channels of that map, in units of ch
REDUCTION = 4  # a block's inner convolutions have this many times fewer channels than its input

Layer = tuple[bool, int, int]  # doubles the resolution?, channels in, channels out, both in units of ch

# Blocks by resolution, and the index of the one that self-attention precedes.
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
    """Sizes of one BigGAN-deep. The class embedding is as long as the noise: the network knows no other.

    Attributes:
        classes: how many labels it knows.
        ch: channels at the full resolution; every other width is a multiple of it.
        z_dim: length of the noise, and of the class embedding.
        layers: the blocks, in order.
        attention: index of the block that self-attention precedes.

    Raises:
        CgnInputError: sizes that do not make a network.
    """

    classes: int
    ch: int
    z_dim: int
    layers: tuple[Layer, ...]
    attention: int

    @classmethod
    def at(cls, resolution: int, *, classes: int = 1000, ch: int = 128, z_dim: int = 128) -> Self:
        """Sizes for pictures of 256 pixels a side, the authors' by default, or of 64 or 32, for miniatures.

        Raises:
            CgnInputError: another resolution, or sizes that do not make a network.
        """
        if resolution not in LAYERS:
            allowed = ", ".join(map(str, LAYERS))
            raise CgnInputError("resolution", f"{resolution} is not one that BigGAN is built for: {allowed}")
        layers, attention = LAYERS[resolution]
        return cls(classes, ch, z_dim, layers, attention)

    def __post_init__(self) -> None:
        if self.classes < 1 or self.z_dim < 1:
            given = f"{self.classes} classes and {self.z_dim} noise values"
            raise CgnInputError("architecture", f"{given}; BigGAN takes at least 1 of each")
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
    they are. Fresh weights are random; `calibrate` makes them meaningful.
    In training mode every pass makes a step of spectral norm's power iteration (Miyato et al., ICLR 2018);
    the batch-norm statistics stay as they are in both modes.

    Args:
        sizes: widths and blocks.
        mend_truncation: between two rows of batch-norm statistics the package, and with it the authors'
            code, gives each row the weight that belongs to the other. That is how published images were
            made, so it is the default; True interpolates rightly.
    """

    def __init__(self, sizes: BigGANSizes, *, mend_truncation: bool = False) -> None:
        super().__init__()
        # Not at the top: the package brings SciPy and an S3 client along, which digits do without.
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
        # The package leaves these two as uninitialised memory.
        nn.init.ones_(self.generator.bn.weight)
        nn.init.zeros_(self.generator.bn.bias)

    def forward(self, u_NL: torch.Tensor, y_NC: torch.Tensor, truncation: float) -> torch.Tensor:
        """Pictures, (N, 3, R, R) in [-1, 1].

        Args:
            u_NL: noise, standard normal values cut off at 2 and multiplied by the truncation.
            y_NC: weights over the classes, one-hot or a mixture.
            truncation: in (0, 1]; which batch-norm statistics to use.

        Raises:
            CgnInputError: a truncation outside (0, 1].
        """
        condition_NL = torch.cat([u_NL, self.embeddings(y_NC)], dim=1)
        return self.generator(condition_NL, read_truncation(truncation, mend=self.mend_truncation))


def read_truncation(truncation: float, *, mend: bool) -> float:
    """The truncation, checked, at which the package's arithmetic is to read the statistics.

    That arithmetic is: row i and coefficient c are the whole and the fraction of truncation * 50, and the
    statistics c * row[i] + (1 - c) * row[i + 1]. Its weights are swapped, so what belongs to a truncation
    stands at its mirror image between the same two rows. There ``mend`` lets it read.

    Raises:
        CgnInputError: a truncation outside (0, 1].
    """
    if not 0 < truncation <= 1:  # NaN too
        raise CgnInputError("truncation", f"{truncation} is outside (0, 1]; 1 is the full variety")
    if not mend:
        return truncation
    # A hair off the rows: at a row, rounding decides which cell the package takes the truncation to be in.
    hair = 1e-9
    position = truncation * (N_STATS - 1)
    row = min(math.floor(position + hair), N_STATS - 2)
    mirrored = min(max(1 - (position - row), hair), 1 - hair)
    return (row + mirrored) / (N_STATS - 1)


@torch.no_grad()
def calibrate(biggan: BigGAN, seed: int, rows: int | None = None) -> None:
    """Makes fresh random weights meaningful, in place: pictures with contrast that differ by noise and label.

    The class embedding gets the size of the noise, attention takes part, spectral norm's power iterations
    are converged, and the batch-norm statistics are those of the network's own activations at every
    truncation.

    Activations are measured, layer by layer, at three truncations. Between these, statistics are linear in
    the square of the truncation: exactly so in the first layer, whose input is linear in the noise and so has
    a variance of that form.

    Args:
        biggan: any sizes, on any device.
        seed: of the noise, the labels and the embedding.
        rows: random pictures that the statistics are taken from. A few underestimate how much pictures
            differ, the more so the deeper the layer. By default as many as have 2^17 pixels, at least 8.
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
    """Pre-forward hook: a batch norm's statistics at one row become those of the input it is about to get."""

    def __init__(self, row: int) -> None:
        self.row = row

    def __call__(self, norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        x_NCHW = inputs[0]
        norm.get_buffer("running_means")[self.row] = x_NCHW.mean((0, 2, 3))
        norm.get_buffer("running_vars")[self.row] = x_NCHW.var((0, 2, 3), correction=0)


def _fill(table: torch.Tensor) -> None:
    """The rows between those measured, linear in the square of their truncation."""
    for low, high in pairwise(MEASURED):
        for row in range(low + 1, high):
            table[row] = torch.lerp(table[low], table[high], (row**2 - low**2) / (high**2 - low**2))


def _converge(weight: torch.Tensor, u: torch.Tensor, v: torch.Tensor, steps: int = 100) -> None:
    """Power iteration in place: u and v towards the first singular vectors of the weight."""
    for _ in range(steps):
        v.copy_(F.normalize(weight.mT @ u, dim=0))
        u.copy_(F.normalize(weight @ v, dim=0))
