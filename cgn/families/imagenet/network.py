"""The mechanisms of the ImageNet family as they are trained (paper section 3.2 and appendix C).

Shape, foreground and background are three BigGANs. The shape mechanism draws a pre-mask, an image from which
U²-Net reads the mask. A fourth, frozen BigGAN is the unconstrained cGAN. It draws x_gt, the target of the
reconstruction loss, which can also be served as the output "reference". `served.py` is the same function for
inference.
Shape suffixes: N rows, L latent, C classes, HW pixels.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch

from cgn.composer import compose
from cgn.errors import CgnInputError
from cgn.families.imagenet.biggan import BigGAN, BigGANSizes, calibrate
from cgn.families.imagenet.u2net import DEPTH, FULL, Channels, U2Net
from cgn.families.network import Network
from cgn.noise import MECHANISMS, Mechanism

MASK_FLOOR = 1e-4  # masks are clipped this far from 0 and 1, so that their logarithms are finite
# The module of each mechanism; its name is that of the authors' code.
MODULES: dict[Mechanism, str] = {
    "shape": "f_shape",
    "texture": "f_text",
    "background": "f_bg",
    "reference": "biggan_GT",
}
MASK_NETWORK = "u2net"


@dataclass(frozen=True)
class ImagenetSizes:
    """Sizes of one CGN of the family.

    Attributes:
        biggan: sizes of each BigGAN.
        u2net: channels of the mask network.
        reference: whether the unconstrained cGAN is included.
        mend_truncation: see `cgn.families.imagenet.biggan.BigGAN`.
    """

    biggan: BigGANSizes
    u2net: Channels
    reference: bool = True
    mend_truncation: bool = False

    @staticmethod
    def of(architecture: dict[str, int], classes: int, resolution: int) -> "ImagenetSizes":
        """Returns the sizes that a model card states.

        Args:
            architecture: "ch" and "z_dim" of the BigGANs; "u2net_inner" and "u2net_outer", the channels of
                all stages of U²-Net, or both 0 for the full one; "reference" and "mend_truncation", 0 or 1.
            classes: number of labels.
            resolution: height and width of the outputs in pixels: 256, 64 or 32.

        Raises:
            CgnInputError: sizes that the family does not have.
        """
        known = {"ch", "z_dim", "u2net_inner", "u2net_outer", "reference", "mend_truncation"}
        if set(architecture) != known or any(not isinstance(size, int) for size in architecture.values()):
            raise CgnInputError("architecture", f"{architecture} must give whole numbers for {sorted(known)}")
        for name in ("reference", "mend_truncation"):
            if architecture[name] not in (0, 1):
                raise CgnInputError("architecture", f"{name} is {architecture[name]}; give 0 or 1")
        stage = architecture["u2net_inner"], architecture["u2net_outer"]
        if min(stage) < 0 or (stage != (0, 0) and min(stage) < 1):
            raise CgnInputError("architecture", f"U²-Net's channels are {stage}; both 0, or both 1 or more")
        return ImagenetSizes(
            BigGANSizes.at(resolution, classes=classes, ch=architecture["ch"], z_dim=architecture["z_dim"]),
            FULL if stage == (0, 0) else (stage,) * (2 * DEPTH - 1),
            reference=bool(architecture["reference"]),
            mend_truncation=bool(architecture["mend_truncation"]),
        )

    @property
    def architecture(self) -> dict[str, int]:
        """The sizes as a model card states them. Raises CgnInputError if a card cannot state them."""
        inner, outer = (0, 0) if tuple(self.u2net) == FULL else self.u2net[0]
        if inner and any(stage != (inner, outer) for stage in self.u2net):
            raise CgnInputError("architecture", "U²-Net's stages must all have the same channels, or be FULL")
        return {
            "ch": self.biggan.ch,
            "z_dim": self.biggan.z_dim,
            "u2net_inner": inner,
            "u2net_outer": outer,
            "reference": int(self.reference),
            "mend_truncation": int(self.mend_truncation),
        }

    @property
    def resolution(self) -> int:
        """Height and width of every output, in pixels."""
        return self.biggan.resolution


class Outputs(NamedTuple):
    """Outputs of the mechanisms and of the composer for N factors, R x R pixels."""

    pre_mask: torch.Tensor  # (N, 3, R, R) in [-1, 1]
    mask: torch.Tensor  # (N, 1, R, R) in [MASK_FLOOR, 1 - MASK_FLOOR]
    foreground: torch.Tensor  # (N, 3, R, R) in [-1, 1]
    background: torch.Tensor  # (N, 3, R, R) in [-1, 1]
    composite: torch.Tensor  # (N, 3, R, R) in [-1, 1]


class ImagenetCGN(Network):
    """Three BigGANs, a mask network, and optionally the unconstrained cGAN.

    The parameters have the names of the authors' code (3,206 keys at 256 pixels with everything), so their
    weights load as they are. Fresh weights are random;
    `cgn.families.imagenet.biggan.calibrate` makes a BigGAN's meaningful.
    """

    truncated: ClassVar[bool] = True

    def __init__(self, sizes: ImagenetSizes) -> None:
        super().__init__(sizes.biggan.classes, sizes.resolution)
        self.sizes = sizes
        self.latent = sizes.biggan.z_dim
        if sizes.reference:
            self.mechanisms = (*MECHANISMS, "reference")

        def biggan() -> BigGAN:
            return BigGAN(sizes.biggan, mend_truncation=sizes.mend_truncation)

        if sizes.reference:
            self.biggan_GT = biggan().eval().requires_grad_(False)
        self.f_shape, self.f_text, self.f_bg = biggan(), biggan(), biggan()
        self.u2net = U2Net(sizes.u2net, align_corners=True).eval()

    def draw(
        self,
        mechanism: Mechanism,
        u_NL: torch.Tensor,
        y_NC: torch.Tensor,
        shift_N2: torch.Tensor,
        truncation: float,
    ) -> torch.Tensor:
        x_N3HW: torch.Tensor = getattr(self, MODULES[mechanism])(u_NL, y_NC, truncation)
        return torch.cat([self.mask(x_N3HW), x_N3HW], dim=1) if mechanism == "shape" else x_N3HW

    def mask(self, pre_mask_N3HW: torch.Tensor) -> torch.Tensor:
        """Returns the masks of pre-masks in [-1, 1]: (N, 1, R, R) in [MASK_FLOOR, 1 - MASK_FLOOR]."""
        return self.u2net(pre_mask_N3HW).clamp(MASK_FLOOR, 1 - MASK_FLOOR)

    def forward(
        self,
        u_NL: torch.Tensor,
        y_NC: torch.Tensor,
        truncation: float = 1.0,
    ) -> Outputs:
        """Returns the outputs for the same noise and label in all three mechanisms (non-counterfactual).

        Args:
            u_NL: noise, standard normal values cut off at 2 and multiplied by the truncation.
            y_NC: weights over the classes, one-hot or a mixture.
            truncation: in (0, 1].
        """
        pre_mask = self.f_shape(u_NL, y_NC, truncation)
        m = self.mask(pre_mask)
        f, b = self.f_text(u_NL, y_NC, truncation), self.f_bg(u_NL, y_NC, truncation)
        return Outputs(pre_mask, m, f, b, compose(m, f, b))


def random_cgn(sizes: ImagenetSizes, seed: int = 0) -> ImagenetCGN:
    """Returns a CGN with calibrated random weights, in eval mode; as fast and as large as a trained one.

    Its images show nothing, but have contrast and differ by mechanism, label and noise. Only one BigGAN is
    calibrated. The others are copies of it with permuted class embeddings.

    Args:
        sizes: sizes of the networks.
        seed: seed of the weights.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ImagenetCGN(sizes)
        first, *others = (getattr(network, name) for name in MODULES.values() if hasattr(network, name))
        calibrate(first, seed)
    for i, other in enumerate(others, start=1):
        other.load_state_dict(first.state_dict())
        other.embeddings.weight.data.copy_(first.embeddings.weight.roll(i, dims=1))
    return network.eval()
