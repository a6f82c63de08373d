"""Counterfactuals in plain PyTorch: an eager forward pass of each mechanism for every image.

Uses the trained form of the mechanisms, in eval mode without gradients, with batch norm, upsampling and roll
as in the paper; then equation 2. No row is shared between images or cached.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from cgn.composer import compose
from cgn.families.mnist.network import LATENT, one_hot
from cgn.noise import MECHANISMS
from cgn.store import checkpoint

_COLUMNS = (LATENT, LATENT, LATENT, 1, 1, 1, 2, 2)  # widths of the columns: noise, labels, rolls


class Plain:
    """A CGN of small images in its trained form: one of the MNIST family, or the authors'.

    The factors ("causes") of N images are one float32 tensor (N, 103), so that servers can batch them: noise
    of shape, texture and background, their labels, and the rolls of texture and background.
    """

    def __init__(self, models_dir: Path, name: str) -> None:
        network, self.card = checkpoint.load_trained(models_dir, name)
        self.network = network.eval()

    def causes(self, labels: Sequence[Sequence[int]], seed: int) -> torch.Tensor:
        """Draws noise and rolls for N images with given labels of shape, texture and background."""
        generator = torch.Generator().manual_seed(seed)
        label_N3 = torch.tensor(labels).T
        images = len(label_N3)
        u_NL = torch.randn(images, 3 * LATENT, generator=generator)
        roll_N4 = torch.randint(self.network.resolution, (images, 4), generator=generator)
        return torch.cat([u_NL, label_N3, roll_N4], dim=1)

    def fresh(self, images: int, seed: int) -> torch.Tensor:
        """Draws factors with random labels."""
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(self.network.classes, (3, images), generator=generator)
        return self.causes(labels.tolist(), seed)

    @torch.no_grad()
    def composites(self, causes_NK: torch.Tensor) -> torch.Tensor:
        """Returns images (N, 3, R, R), float32 in [-1, 1]."""
        network = self.network
        *noise, y_s, y_t, y_b, roll_t, roll_b = causes_NK.split(_COLUMNS, dim=1)
        labels = [one_hot(y[:, 0].long(), network.classes) for y in (y_s, y_t, y_b)]
        rolls = [roll_t.long(), roll_t.long(), roll_b.long()]  # shapes are not rolled
        m, f, b = (
            network.draw(mechanism, u, y, roll, 1.0)
            for mechanism, u, y, roll in zip(MECHANISMS, noise, labels, rolls, strict=True)
        )
        return compose(m, f, b)

    def pixels(self, causes_NK: torch.Tensor) -> torch.Tensor:
        """Returns the images as uint8 (N, R, R, 3)."""
        levels = self.composites(causes_NK).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        return levels.permute(0, 2, 3, 1).contiguous()
