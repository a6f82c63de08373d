"""A CGN for inference: a network, its card, and the composer."""

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
    """The outputs of the mechanisms and the composer for N images."""

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
        """Returns one mechanism's outputs (rows) for N factors. A row's bits do not depend on the other rows.

        Args:
            mechanism: one of the network's mechanisms.
            factors: the factor of each row.
            at_once: rows per forward pass; None: the network's choice. Another number may round differently.

        Returns:
            float32 on the CPU. Shape: masks (N, 1, H, W) in [0, 1]; in families with a pre-mask, its three
            channels in [-1, 1] follow, (N, 4, H, W). Other mechanisms: (N, 3, H, W) in [-1, 1].

        Raises:
            CgnInputError: an unknown mechanism, no factors, or an invalid factor.
        """
        mechanisms = self.network.mechanisms
        if mechanism not in mechanisms:
            raise CgnInputError("mechanism", f"{mechanism!r} is not one of {', '.join(mechanisms)}")
        for factor in factors:
            check_label(factor.label, self.network.classes)
        if not factors:
            raise CgnInputError("factors", "give at least one")
        batches = _batches(factors, at_once or self.network.batch_rows)
        outputs = [self._forward(mechanism, batch, at_once) for batch in batches]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    @torch.inference_mode()
    def _forward(self, mechanism: Mechanism, factors: Sequence[Factor], at_once: int | None) -> torch.Tensor:
        """Returns the rows of factors with equal truncation, computed in one forward pass."""
        network, rows = self.network, len(factors)
        size = at_once or network.pass_rows(mechanism, rows)
        inputs = (
            noise_of(factors, network.latent, truncated=network.truncated),
            weights_of([factor.label for factor in factors], network.classes),
            shifts_of(factors, mechanism, network.resolution),
        )
        # The batch is padded with copies of its last row.
        padded = (np.concatenate([x, x[-1:].repeat(size - rows, axis=0)]) for x in inputs)
        u_NL, y_NC, shift_N2 = (torch.from_numpy(x).to(self.device, non_blocking=True) for x in padded)
        with _exact_kernels(self.device):
            output = network.draw(mechanism, u_NL, y_NC, shift_N2, factors[0].truncation)
        return output[:rows].cpu()

    def generate(
        self, shape: Sequence[Factor], texture: Sequence[Factor], background: Sequence[Factor]
    ) -> Composites:
        """Returns the images of N factors per mechanism, composed by equation 2.

        Raises:
            CgnInputError: an invalid factor, or unequal numbers of factors.
        """
        if not len(shape) == len(texture) == len(background) > 0:
            raise CgnInputError("factors", "give the same number of factors for each mechanism, at least one")
        m = self.rows("shape", shape)[:, :1]
        f = self.rows("texture", texture)
        b = self.rows("background", background)
        return Composites(m, f, b, compose(m, f, b))


def _exact_kernels(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Returns a context that, on a GPU, disables autotuned kernels and TF32: both change the rounding."""
    if device.type == "cpu":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _batches(factors: Sequence[Factor], max_rows: int) -> Iterator[Sequence[Factor]]:
    """Splits factors into batches: at most ``max_rows`` neighbours with equal truncation."""
    for _, run in itertools.groupby(factors, key=lambda factor: factor.truncation):
        group = list(run)
        for start in range(0, len(group), max_rows):
            yield group[start : start + max_rows]
