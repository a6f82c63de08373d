"""The adversarial game that trains mechanisms: an optimiser for its players, and the opponent's moves."""

from typing import Any

import torch
from torch import nn

from cgn.losses import masks_and_game as losses
from trainer.gan.discriminator import Discriminator
from trainer.run.precision import half_precision

R1_WEIGHT = 1.0  # gamma: half of it times the R1 penalty is added
R1_EVERY = 8  # steps between R1 penalties, which are scaled up in turn (lazy regularisation)
_BETAS = (0.0, 0.99)  # no momentum: the opponent moves too


def game_optimiser(player: nn.Module) -> torch.optim.Adam:
    """Adam for one player of a game; its rate is set before every step."""
    return torch.optim.Adam(player.parameters(), betas=_BETAS, fused=True)


def set_rate(adam: torch.optim.Adam, rate: float) -> None:
    """Sets the learning rate of the next step."""
    adam.param_groups[0]["lr"] = rate


class Opponent:
    """A discriminator with its optimiser.

    Attributes:
        parts: what a checkpoint must hold, by name.
    """

    def __init__(self, discriminator: Discriminator, device: torch.device) -> None:
        self._device = device
        self._discriminator = discriminator.to(device).to(memory_format=torch.channels_last)
        self._adam = game_optimiser(discriminator)
        self.parts: dict[str, Any] = {"discriminator": self._discriminator, "adam_d": self._adam}

    def learn(
        self, real: torch.Tensor, fake: torch.Tensor, label_N: torch.Tensor, rate: float, done: int
    ) -> torch.Tensor:
        """One step at a learning rate; real, fake: pictures with the same labels; done: steps so far.

        Returns:
            The loss, with the R1 penalty in the steps that have one.
        """
        with_r1 = done % R1_EVERY == 0
        real = real.requires_grad_(with_r1)
        with half_precision(self._device):
            score_real = self._discriminator(real, label_N).float()
            score_fake = self._discriminator(fake.detach(), label_N).float()
        loss = losses.adversarial_discriminator(score_real, score_fake)
        if with_r1:
            loss = loss + R1_EVERY * R1_WEIGHT / 2 * losses.r1_penalty(score_real, real)
        set_rate(self._adam, rate)
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        return loss.detach()

    def judge(self, fake: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Adversarial loss of generated pictures; its gradient goes to them alone."""
        self._discriminator.requires_grad_(False)
        with half_precision(self._device):
            score = self._discriminator(fake, label_N).float()
        self._discriminator.requires_grad_(True)
        return losses.adversarial_generator(score)
