"""What the networks of all families have in common: each draws rows of one mechanism at a time."""

from typing import ClassVar

import torch
from torch import nn

from cgn.noise import Mechanism


class Network(nn.Module):
    """The mechanisms of one CGN, each a module of its own under its name.

    Attributes:
        latent: length of the noise u.
        truncated: whether noise is drawn within [-2, 2] and scaled by a truncation.
        classes: how many labels each mechanism knows.
        resolution: height and width of every output, in pixels.
    """

    latent: ClassVar[int]
    truncated: ClassVar[bool] = False

    def __init__(self, classes: int, resolution: int) -> None:
        super().__init__()
        self.classes = classes
        self.resolution = resolution

    def draw(
        self,
        mechanism: Mechanism,
        u_NL: torch.Tensor,
        y_NC: torch.Tensor,
        shift_N2: torch.Tensor,
        truncation: float,
    ) -> torch.Tensor:
        """Rows of one mechanism.

        Args:
            u_NL: noise, already truncated.
            y_NC: weights over the classes, each row sums to 1.
            shift_N2: rolls of a texture (down, right) in pixels.
            truncation: of all the noise, in (0, 1]; 1 where the family has none.

        Returns:
            (N, 1, R, R) in [0, 1] of shape, (N, 3, R, R) in [-1, 1] of textures.
        """
        raise NotImplementedError
