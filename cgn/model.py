"""A CGN: three mechanisms, a composer, a card."""

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
    """Outputs of the mechanisms and the composer for N images."""

    mask: torch.Tensor  # (N, 1, H, W) in [0, 1]
    foreground: torch.Tensor  # (N, 3, H, W) in [-1, 1]
    background: torch.Tensor  # (N, 3, H, W) in [-1, 1]
    composite: torch.Tensor  # (N, 3, H, W) in [-1, 1]


class CGN:
    """A network in eval mode, resident on one device, with the card that names it."""

    def __init__(self, network: Network, card: ModelCard, device: torch.device | str = "cpu") -> None:
        self.card = card
        self.device = torch.device(device)
        self.network = network.to(self.device).eval().requires_grad_(False)

    def rows(
        self, mechanism: Mechanism, factors: Sequence[Factor], at_once: int | None = None
    ) -> torch.Tensor:
        """One mechanism's rows for N factors, each the same to the bit whatever the others are.

        Args:
            mechanism: one of the network's.
            factors: of the rows.
            at_once: rows of a pass; by default the network's own number. Others may round differently.

        Returns:
            float32 on the CPU, as `Network.draw` gives them: (N, 1, H, W) masks in [0, 1] for shape, with the
            three channels of the pre-mask after them in families that have one; (N, 3, H, W) in [-1, 1] for
            the others.

        Raises:
            CgnInputError: an unknown mechanism, no factors, or a factor that the model cannot use.
        """
        known = self.network.mechanisms
        if mechanism not in known:
            raise CgnInputError("mechanism", f"{mechanism!r} is not one of {', '.join(known)}")
        for factor in factors:
            check_label(factor.label, self.network.classes)
        if not factors:
            raise CgnInputError("factors", "give at least one")
        parts = _passes(factors, at_once or self.network.batch_rows)
        drawn = [self._pass(mechanism, part, at_once) for part in parts]
        return drawn[0] if len(drawn) == 1 else torch.cat(drawn)

    @torch.inference_mode()
    def _pass(self, mechanism: Mechanism, factors: Sequence[Factor], at_once: int | None) -> torch.Tensor:
        """The rows of factors of one truncation, in one pass of ``at_once`` or of the network's own size."""
        network, wanted = self.network, len(factors)
        size = at_once or network.pass_rows(mechanism, wanted)
        causes = (
            noise_of(factors, network.latent, truncated=network.truncated),
            weights_of([factor.label for factor in factors], network.classes),
            shifts_of(factors, mechanism, network.resolution),
        )
        padded = (np.concatenate([cause, cause[-1:].repeat(size - wanted, axis=0)]) for cause in causes)
        u_NL, y_NC, shift_N2 = (torch.from_numpy(c).to(self.device, non_blocking=True) for c in padded)
        with _exact_kernels(self.device):
            rows = network.draw(mechanism, u_NL, y_NC, shift_N2, factors[0].truncation)
        return rows[:wanted].cpu()

    def generate(
        self, shape: Sequence[Factor], texture: Sequence[Factor], background: Sequence[Factor]
    ) -> Composites:
        """Images of N factors per mechanism, composed by equation 2.

        Raises:
            CgnInputError: a factor that the model cannot use, or unequal numbers of factors.
        """
        if not len(shape) == len(texture) == len(background) > 0:
            raise CgnInputError("factors", "give the same number, at least one, for each mechanism")
        m = self.rows("shape", shape)[:, :1]
        f = self.rows("texture", texture)
        b = self.rows("background", background)
        return Composites(m, f, b, compose(m, f, b))


def _exact_kernels(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """On a GPU: no kernels chosen by the clock, and no TF32, whose rounding reaches the 8-bit levels."""
    if device.type == "cpu":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _passes(factors: Sequence[Factor], most: int) -> Iterator[Sequence[Factor]]:
    """Factors in parts that one forward pass takes: up to ``most`` neighbours of one truncation."""
    for _, alike in itertools.groupby(factors, key=lambda factor: factor.truncation):
        group = list(alike)
        for start in range(0, len(group), most):
            yield group[start : start + most]
