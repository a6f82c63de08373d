"""A CGN: three mechanisms, a composer, a card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from cgn.card import ModelCard
from cgn.composer import compose
from cgn.datasets import MOST_CLASSES, RESOLUTIONS
from cgn.errors import CgnInputError
from cgn.factors import Factor, noise_of
from cgn.mechanisms import mnist
from cgn.noise import MECHANISMS, Mechanism

FAMILIES = ("mnist",)

# Every forward pass has exactly this many rows, the last ones padding. Kernels choose their order of
# summation by the size of the batch, so one size is what makes a row's pixels the same to the bit alone
# and among hundreds.
BATCH_ROWS = 16


class MnistCGN(nn.Module):
    """The three learned mechanisms of the MNIST family (appendix B, left).

    Attributes:
        classes: how many labels each mechanism knows.
        resolution: height and width of every output, in pixels.
    """

    def __init__(self, width: int, classes: int, resolution: int) -> None:
        super().__init__()
        self.classes = classes
        self.resolution = resolution
        self.shape = mnist.ShapeMechanism(width, classes, resolution)
        self.texture = mnist.TextureMechanism(width, classes, resolution)
        self.background = mnist.TextureMechanism(width, classes, resolution)


def build_network(family: str, architecture: Mapping[str, int], classes: int, resolution: int) -> MnistCGN:
    """Mechanisms with fresh random weights.

    Args:
        family: one of FAMILIES.
        architecture: ``{"width": channels of every map, 1 to 512}``.
        classes: how many labels, 2 to MOST_CLASSES.
        resolution: height and width of the outputs in pixels, 32 or 64.

    Raises:
        CgnInputError: an unknown family, or sizes that it does not have.
    """
    if family not in FAMILIES:
        raise CgnInputError("family", f"{family!r} is unknown; known: {', '.join(FAMILIES)}")
    width = architecture.get("width")
    if set(architecture) != {"width"} or not isinstance(width, int) or not 1 <= width <= 512:
        raise CgnInputError("architecture", f"{dict(architecture)} must be {{'width': 1 to 512}}")
    if not 2 <= classes <= MOST_CLASSES:
        raise CgnInputError("class_names", f"{classes} classes; the family takes 2 to {MOST_CLASSES}")
    if resolution not in RESOLUTIONS:
        allowed = " or ".join(map(str, RESOLUTIONS))
        raise CgnInputError("resolution", f"{resolution} must be {allowed} in family {family}")
    return MnistCGN(width, classes, resolution)


@dataclass(frozen=True)
class Composites:
    """Outputs of the mechanisms and the composer for N images."""

    mask: torch.Tensor  # (N, 1, H, W) in [0, 1]
    foreground: torch.Tensor  # (N, 3, H, W) in [-1, 1]
    background: torch.Tensor  # (N, 3, H, W) in [-1, 1]
    composite: torch.Tensor  # (N, 3, H, W) in [-1, 1]


class CGN:
    """A network in eval mode, resident on one device, with the card that names it."""

    def __init__(self, network: MnistCGN, card: ModelCard, device: torch.device | str = "cpu") -> None:
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
            if not 0 <= factor.label < len(self.card.class_names):
                raise CgnInputError(
                    "label", f"{factor.label} is out of range [0, {len(self.card.class_names) - 1}]"
                )
        if not factors:
            raise CgnInputError("factors", "give at least one")
        starts = range(0, len(factors), BATCH_ROWS)
        return torch.cat([self._pass(mechanism, factors[i : i + BATCH_ROWS]) for i in starts])

    @torch.inference_mode()
    def _pass(self, mechanism: Mechanism, factors: Sequence[Factor]) -> torch.Tensor:
        """The rows of up to BATCH_ROWS factors in one forward pass of exactly BATCH_ROWS."""
        wanted = len(factors)
        factors = [*factors, *[factors[-1]] * (BATCH_ROWS - wanted)]
        u_NL = torch.from_numpy(noise_of(factors, self.card.latent_size))
        y_NC = mnist.one_hot(torch.tensor([f.label for f in factors]), self.network.classes)
        inputs = [u_NL, y_NC]
        if mechanism != "shape":
            inputs.append(torch.tensor([f.shift(mechanism, self.card.resolution) for f in factors]))
        module = getattr(self.network, mechanism)
        # On a GPU: no kernels chosen by the clock, and no TF32, whose rounding reaches the 8-bit levels.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            rows: torch.Tensor = module(*(t.to(self.device, non_blocking=True) for t in inputs))
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
