"""A CGN that is ready to use: its mechanisms, the composer, its card."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cgn.card import ModelCard
from cgn.composer import compose
from cgn.errors import CgnInputError
from cgn.factors import Factor, check_label, noise_of, shifts_of, weights_of
from cgn.families.network import Network
from cgn.noise import Mechanism


@dataclass(frozen=True)
class Composites:
    """Outputs of the mechanisms and of the composer for N images."""

    mask: torch.Tensor  # (N, 1, H, W) in [0, 1]
    foreground: torch.Tensor  # (N, 3, H, W) in [-1, 1]
    background: torch.Tensor  # (N, 3, H, W) in [-1, 1]
    composite: torch.Tensor  # (N, 3, H, W) in [-1, 1]


class CGN:
    """A network in eval mode, resident on one device, and its card."""

    def __init__(self, network: Network, card: ModelCard, device: torch.device | str = "cpu") -> None:
        self.card = card
        self.device = torch.device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)

    def rows(
        self, mechanism: Mechanism, factors: Sequence[Factor], at_once: int | None = None
    ) -> torch.Tensor:
        """Returns one mechanism's rows for N factors. A row is the same to the bit among any other rows.

        Args:
            mechanism: one of the network's mechanisms.
            factors: the factor of each row.
            at_once: rows of a forward pass; None: the network's choice. Other numbers may round differently.

        Returns:
            float32 on the CPU, as from `Network.draw`. Shape: masks (N, 1, H, W) in [0, 1], in families with
            a pre-mask followed by its three channels. Other mechanisms: (N, 3, H, W) in [-1, 1].

        Raises:
            CgnInputError: an unknown mechanism, no factors, or an impossible factor.
        """
        mechanisms = self.network.mechanisms
        if mechanism not in mechanisms:
            raise CgnInputError("mechanism", f"{mechanism!r} is not one of {', '.join(mechanisms)}")
        for factor in factors:
            check_label(factor.label, self.network.classes)
        if not factors:
            raise CgnInputError("factors", "give at least one")
        parts = _passes(factors, at_once or self.network.batch_rows)
        drawn = [self._pass(mechanism, part, at_once) for part in parts]
        return drawn[0] if len(drawn) == 1 else torch.cat(drawn)

    @torch.inference_mode()
    def _pass(self, mechanism: Mechanism, factors: Sequence[Factor], at_once: int | None) -> torch.Tensor:
        """Returns the rows of factors that share a truncation, from one forward pass."""
        network, rows = self.network, len(factors)
        size = at_once or network.pass_rows(mechanism, rows)
        inputs = (
            noise_of(factors, network.latent, truncated=network.truncated),
            weights_of([factor.label for factor in factors], network.classes),
            shifts_of(factors, mechanism, network.resolution),
        )
        padded = (np.concatenate([x, x[-1:].repeat(size - rows, axis=0)]) for x in inputs)
        u_NL, y_NC, shift_N2 = (torch.from_numpy(x).to(self.device, non_blocking=True) for x in padded)
        with _exact_kernels(self.device):
            drawn = network.draw(mechanism, u_NL, y_NC, shift_N2, factors[0].truncation)
        return drawn[:rows].cpu()

    def generate(
        self, shape: Sequence[Factor], texture: Sequence[Factor], background: Sequence[Factor]
    ) -> Composites:
        """Returns the images of N factors per mechanism, composed by equation 2.

        Raises:
            CgnInputError: an impossible factor, or unequal numbers of factors.
        """
        if not len(shape) == len(texture) == len(background) > 0:
            raise CgnInputError("factors", "give the same number, at least one, for each mechanism")
        m = self.rows("shape", shape)[:, :1]
        f = self.rows("texture", texture)
        b = self.rows("background", background)
        return Composites(m, f, b, compose(m, f, b))


def _exact_kernels(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """On a GPU: no kernels selected by timing, and no TF32, whose rounding changes 8-bit levels."""
    if device.type == "cpu":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _passes(factors: Sequence[Factor], max_rows: int) -> Iterator[Sequence[Factor]]:
    """Splits factors into parts for one forward pass: up to ``max_rows`` neighbours of one truncation."""
    for _, alike in itertools.groupby(factors, key=lambda factor: factor.truncation):
        group = list(alike)
        for start in range(0, len(group), max_rows):
            yield group[start : start + max_rows]
