"""What the served networks of all families have in common: each draws rows of one mechanism at a time."""

from typing import ClassVar

import torch
from torch import nn

from cgn.noise import MECHANISMS, Mechanism

BATCH_ROWS = 16


class Network(nn.Module):
    """The mechanisms of one CGN, each a module of its own under its name.

    Attributes:
        latent: length of the noise u.
        truncated: whether noise is drawn within [-2, 2] and scaled by a truncation.
        classes: how many labels each mechanism knows.
        resolution: height and width of every output, in pixels.
        mechanisms: what it draws.
        batch_rows: rows of a full pass, and the most that one takes.
        small: whether several passes side by side on a CPU are sooner done than one after the other.
    """

    latent: int
    truncated: ClassVar[bool] = False
    mechanisms: tuple[Mechanism, ...] = MECHANISMS
    batch_rows: int = BATCH_ROWS
    small: ClassVar[bool] = False

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
            Float32, with R x R pixels. Of shape (N, 1, R, R), the mask in [0, 1]; or (N, 4, R, R), the mask
            and the pre-mask in [-1, 1] that it is read from. Of the others (N, 3, R, R) in [-1, 1].
        """
        raise NotImplementedError

    def pass_rows(self, mechanism: Mechanism, wanted: int) -> int:
        """How many rows are drawn where 1 to batch_rows are wanted; what is too much is thrown away.

        Kernels choose their order of summation by the size of the batch, so one size for all passes is what
        makes a row's pixels the same to the bit alone and among hundreds.
        """
        return self.batch_rows

    def resident_bytes(self, mechanism: Mechanism) -> int:
        """Bytes that one mechanism's weights and statistics take on the device."""
        module = getattr(self, mechanism)
        return sum(t.numel() * t.element_size() for t in module.state_dict().values())
