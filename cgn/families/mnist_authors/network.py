"""The mechanisms of the authors' MNIST models, so that their weights can be served (paper section 4.1).

Their networks differ from this project's (`cgn.families.mnist.network`): a learnt embedding stands for the
label, one linear layer makes the 8x8 map, and the mask is a normalised map, clipped at both ends,
where this project's is a sigmoid.
The layers have the positions of the authors' code, so parameters have the same names.
Shape suffixes: N rows, L latent, C classes, HW pixels.
"""

from collections.abc import Mapping

import torch
from torch import nn

from cgn.errors import CgnInputError
from cgn.families.mnist.network import LATENT, SMALLEST_MAP, cyclic_roll
from cgn.families.network import Network
from cgn.noise import Mechanism

CLASSES = 10
RESOLUTION = 32
WIDTH = 32  # channels at the full resolution; twice as many on the smallest map
MASK_FLOOR = 1e-4  # masks are clipped this far from 0 and 1


class AuthorsMnistCGN(Network):
    """The three mechanisms of one of the authors' models of colored, double-colored and Wildlife MNIST.

    The authors roll a texture by cropping it from four copies of itself, at one of 33 offsets. The first and
    the last offset give the same image. Here each of the 32 rolls is equally likely.
    """

    latent = LATENT

    def __init__(self) -> None:
        super().__init__(CLASSES, RESOLUTION)
        self.label_emb = nn.Embedding(CLASSES, CLASSES)
        self.f_shape = nn.Sequential(
            *_smallest_map(),
            nn.InstanceNorm2d(2 * WIDTH),
            *_doubled(2 * WIDTH, WIDTH),
            nn.InstanceNorm2d(WIDTH),
            *_doubled(WIDTH, 1),
            nn.InstanceNorm2d(1),
        )
        self.f_text1, self.f_text2 = _texture(), _texture()

    @staticmethod
    def of(architecture: Mapping[str, int], classes: int, resolution: int) -> "AuthorsMnistCGN":
        """Returns the network with random weights.

        Raises:
            CgnInputError: other sizes than the only possible ones: no architecture, 10 classes, 32 pixels.
        """
        if architecture or (classes, resolution) != (CLASSES, RESOLUTION):
            raise CgnInputError(
                "architecture",
                f"{dict(architecture)} with {classes} classes at {resolution} pixels must be {{}} with "
                f"{CLASSES} at {RESOLUTION}, the authors' only sizes",
            )
        return AuthorsMnistCGN()

    @property
    def shape(self) -> nn.Module:
        return self.f_shape

    @property
    def texture(self) -> nn.Module:
        return self.f_text1

    @property
    def background(self) -> nn.Module:
        return self.f_text2

    def draw(
        self,
        mechanism: Mechanism,
        u_NL: torch.Tensor,
        y_NC: torch.Tensor,
        shift_N2: torch.Tensor,
        truncation: float,
    ) -> torch.Tensor:
        inputs = torch.cat([u_NL, y_NC @ self.label_emb.weight], dim=1)
        row: torch.Tensor = getattr(self, mechanism)(inputs)
        return row.clamp(MASK_FLOOR, 1 - MASK_FLOOR) if mechanism == "shape" else cyclic_roll(row, shift_N2)


def _smallest_map() -> list[nn.Module]:
    """Returns layers [u, embedded label] -> 8x8 map."""
    channels = 2 * WIDTH
    return [
        nn.Linear(LATENT + CLASSES, channels * SMALLEST_MAP**2),
        nn.Unflatten(1, (channels, SMALLEST_MAP, SMALLEST_MAP)),
    ]


def _doubled(before: int, after: int) -> list[nn.Module]:
    """Returns layers that double a map's resolution."""
    return [
        nn.Upsample(scale_factor=2),
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.LeakyReLU(0.2),
    ]


def _texture() -> nn.Sequential:
    """Returns f_text: [u, embedded label] -> colours in [-1, 1], three channels."""
    return nn.Sequential(
        *_smallest_map(),
        *_doubled(2 * WIDTH, 2 * WIDTH),
        *_doubled(2 * WIDTH, WIDTH),
        nn.Conv2d(WIDTH, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.Tanh(),
    )
