"""The interface of every network: one mechanism's rows at a time."""

from typing import ClassVar

import torch
from torch import nn

from cgn.noise import MECHANISMS, Mechanism

BATCH_ROWS = 16


def truncated_noise(rows: int, latent: int, random: torch.Generator) -> torch.Tensor:
    """Returns noise of truncation 1: normal within [-2, 2] (Brock et al. 2019, section 3.1)."""
    return nn.init.trunc_normal_(torch.empty(rows, latent), a=-2.0, b=2.0, generator=random)


class Network(nn.Module):
    """The mechanisms of one CGN. Every family has two of these: its trained form and its served form.

    Attributes:
        latent: length of the noise u.
        truncated: whether noise is drawn within [-2, 2] and has a truncation.
        classes: number of labels.
        resolution: height and width of every output, in pixels.
        mechanisms: the mechanisms that `draw` accepts.
        batch_rows: rows of a full forward pass, and the most that one takes.
        small: whether several forward passes side by side on a CPU end sooner than one after another.
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
        """Returns rows of one mechanism. Every family implements this method.

        Args:
            mechanism: one of `mechanisms`.
            u_NL: noise, already truncated.
            y_NC: weights over the classes; each row sums to 1.
            shift_N2: cyclic shifts of a texture (down, right) in pixels.
            truncation: truncation of all the noise, in (0, 1]; 1 if the family has none.

        Returns:
            float32, R x R pixels. Shape: the mask (N, 1, R, R) in [0, 1], or (N, 4, R, R), the mask and the
            pre-mask in [-1, 1] that it is read from. Other mechanisms: (N, 3, R, R) in [-1, 1].
        """
        raise NotImplementedError

    def draw_noise(self, rows: int, random: torch.Generator) -> torch.Tensor:
        """Returns noise as in training, (rows, latent), on the CPU: normal, within [-2, 2] if truncated."""
        if self.truncated:
            return truncated_noise(rows, self.latent, random)
        return torch.randn(rows, self.latent, generator=random)

    def draw_masks(self, u_NL: torch.Tensor, y_NC: torch.Tensor) -> torch.Tensor:
        """Returns masks (N, 1, R, R) in [0, 1], without truncation. Arguments as those of `draw`."""
        shift_N2 = torch.zeros(len(u_NL), 2, dtype=torch.int64, device=u_NL.device)  # shapes are not shifted
        return self.draw("shape", u_NL, y_NC, shift_N2, 1.0)[:, :1]

    def find_saliency(self, x_N3HW: torch.Tensor) -> torch.Tensor | None:
        """Returns where the family's saliency network sees an object in pictures; None if it has no such
        network. x_N3HW: in [-1, 1], R x R pixels. Result: (N, 1, R, R) in [0, 1], float32 on the CPU."""
        return None

    def pass_rows(self, mechanism: Mechanism, rows: int) -> int:
        """Returns how many rows a forward pass draws for 1 to batch_rows requested rows.

        The surplus is padding. Kernels choose their order of summation by the batch size. So a fixed size
        gives a row the same pixels to the bit, alone and among hundreds.
        """
        return self.batch_rows

    def resident_bytes(self, mechanism: Mechanism) -> int:
        """Returns how many bytes one mechanism's weights and statistics take on the device (served form)."""
        module = getattr(self, mechanism)
        return sum(t.numel() * t.element_size() for t in module.state_dict().values())
