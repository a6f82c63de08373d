"""A CGN: three mechanisms, a composer, a card."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from cgn.card import ModelCard
from cgn.composer import compose
from cgn.errors import CgnInputError
from cgn.factors import Factor, check_label, noise_of, weights_of
from cgn.mechanisms.network import Network
from cgn.noise import MECHANISMS, Mechanism

# Every forward pass has exactly this many rows, the last ones padding. Kernels choose their order of
# summation by the size of the batch, so one size is what makes a row's pixels the same to the bit alone
# and among hundreds.
BATCH_ROWS = 16


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
        self.network = network.to(self.device, torch.float32).eval().requires_grad_(False)

    def resident_bytes(self, mechanism: Mechanism) -> int:
        """Bytes that one mechanism's weights and statistics take on the device."""
        module = getattr(self.network, mechanism)
        return sum(t.numel() * t.element_size() for t in module.state_dict().values())

    def rows(self, mechanism: Mechanism, factors: Sequence[Factor]) -> torch.Tensor:
        """One mechanism's rows for N factors, each the same to the bit whatever the others are.

        Returns:
            float32 (N, 1, H, W) in [0, 1] for shape, (N, 3, H, W) in [-1, 1] for the textures, on the CPU.

        Raises:
            CgnInputError: an unknown mechanism, no factors, or a factor that the model cannot use.
        """
        if mechanism not in MECHANISMS:
            raise CgnInputError("mechanism", f"{mechanism!r} is not one of {', '.join(MECHANISMS)}")
        for factor in factors:
            check_label(factor.label, self.network.classes)
        if not factors:
            raise CgnInputError("factors", "give at least one")
        return torch.cat([self._pass(mechanism, part) for part in _passes(factors)])

    @torch.inference_mode()
    def _pass(self, mechanism: Mechanism, factors: Sequence[Factor]) -> torch.Tensor:
        """The rows of up to BATCH_ROWS factors of one truncation, in a forward pass of exactly BATCH_ROWS."""
        wanted = len(factors)
        factors = [*factors, *[factors[-1]] * (BATCH_ROWS - wanted)]
        network = self.network
        u_NL = torch.from_numpy(noise_of(factors, network.latent, truncated=network.truncated))
        y_NC = torch.from_numpy(weights_of([factor.label for factor in factors], network.classes))
        shift_N2 = torch.zeros(BATCH_ROWS, 2, dtype=torch.int64)
        if mechanism != "shape":
            shift_N2 = torch.tensor([factor.shift(mechanism, network.resolution) for factor in factors])
        u_NL, y_NC, shift_N2 = (t.to(self.device, non_blocking=True) for t in (u_NL, y_NC, shift_N2))
        # On a GPU: no kernels chosen by the clock, and no TF32, whose rounding reaches the 8-bit levels.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
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
        m = self.rows("shape", shape)
        f = self.rows("texture", texture)
        b = self.rows("background", background)
        return Composites(m, f, b, compose(m, f, b))


def _passes(factors: Sequence[Factor]) -> Iterator[Sequence[Factor]]:
    """Factors in parts that one forward pass takes: up to BATCH_ROWS neighbours of one truncation."""
    for _, alike in itertools.groupby(factors, key=lambda factor: factor.truncation):
        group = list(alike)
        for start in range(0, len(group), BATCH_ROWS):
            yield group[start : start + BATCH_ROWS]
