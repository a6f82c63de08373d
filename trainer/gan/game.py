"""The adversarial game that trains networks: discriminators that are trained as opponents, and optimisers."""

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cgn.losses.gan import adversarial_discriminator, adversarial_generator, r1_penalty
from trainer.gan.discriminator import Discriminator
from trainer.run.precision import half_precision

R1_WEIGHT = 1.0  # gamma: half of it times the R1 penalty is added to the loss
R1_EVERY = 8  # steps between R1 penalties, each scaled up by this number (lazy regularisation)
_BETAS = (0.0, 0.99)  # of Adam; no momentum, because the opponent moves too
_AVERAGE_DECAY = 0.995  # per step
_ACCUMULATING_WIDTH = 24  # channels of the first feature map


def game_optimiser(player: nn.Module) -> torch.optim.Adam:
    """Returns Adam for one player of a game; set its learning rate before every step."""
    return torch.optim.Adam(player.parameters(), betas=_BETAS, fused=True)


def set_rate(adam: torch.optim.Adam, rate: float) -> None:
    """Sets the learning rate of the next step."""
    adam.param_groups[0]["lr"] = rate


class Opponent:
    """A discriminator with its optimiser, which moves once per training step.

    Attributes:
        parts: everything that a checkpoint holds, by name.
    """

    def __init__(self, discriminator: Discriminator, device: torch.device) -> None:
        self._device = device
        self._discriminator = discriminator.to(device).to(memory_format=torch.channels_last)
        self._adam = game_optimiser(discriminator)
        self.parts: dict[str, Any] = {"discriminator": self._discriminator, "adam_d": self._adam}

    def learn(
        self, real: torch.Tensor, fake: torch.Tensor, label_N: torch.Tensor, rate: float, done: int
    ) -> torch.Tensor:
        """Trains the discriminator by one step.

        Args:
            real, fake: images or masks (N, channels, R, R) with the same labels.
            label_N: class indices.
            rate: learning rate.
            done: steps so far.

        Returns:
            The loss, a scalar, with the R1 penalty in every step that has one.
        """
        with_r1 = done % R1_EVERY == 0
        real = real.requires_grad_(with_r1)
        with half_precision(self._device):
            score_real = self._discriminator(real, label_N).float()
            score_fake = self._discriminator(fake.detach(), label_N).float()
        loss = adversarial_discriminator(score_real, score_fake)
        if with_r1:
            loss = loss + R1_EVERY * R1_WEIGHT / 2 * r1_penalty(score_real, real)
        set_rate(self._adam, rate)
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        return loss.detach()

    def judge(self, fake: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Returns the adversarial loss of generated images; the discriminator gets no gradient from it."""
        self._discriminator.requires_grad_(False)
        with half_precision(self._device):
            score = self._discriminator(fake, label_N).float()
        self._discriminator.requires_grad_(True)
        return adversarial_generator(score)


class AccumulatingOpponent:
    """A discriminator with its optimiser; gradients accumulate until the caller steps the optimiser.

    It replaces L_rec: composites have to look like images of the unconstrained cGAN. The paper mentions this
    alternative, which did not scale to ImageNet (section 3.1, "Composition Mechanism").

    Attributes:
        adam: the optimiser.
        parts: everything that a checkpoint holds, by name.
    """

    def __init__(self, classes: int, resolution: int, rate: float, device: torch.device) -> None:
        self._discriminator = Discriminator(3, classes, resolution, _ACCUMULATING_WIDTH).to(device)
        self.adam = game_optimiser(self._discriminator)
        set_rate(self.adam, rate)
        self.parts: dict[str, Any] = {"discriminator": self._discriminator, "adam_d": self.adam}

    def learn(
        self, x_gt: torch.Tensor, x_gen: torch.Tensor, label_N: torch.Tensor, weight: float, done: int
    ) -> torch.Tensor:
        """Adds the gradients of one accumulation step to those of the discriminator.

        Args:
            x_gt, x_gen: images (N, 3, R, R) in [-1, 1], with the same labels.
            label_N: class indices.
            weight: factor of the gradients, 1 / the number of accumulation steps.
            done: training steps so far.

        Returns:
            The loss, a scalar, with the R1 penalty in every training step that has one.
        """
        with_r1 = done % R1_EVERY == 0
        x_gt = x_gt.clone().requires_grad_(with_r1)
        score_real = self._discriminator(x_gt, label_N)
        loss = adversarial_discriminator(score_real, self._discriminator(x_gen.detach(), label_N))
        if with_r1:
            loss = loss + R1_EVERY * R1_WEIGHT / 2 * r1_penalty(score_real, x_gt)
        (weight * loss).backward()
        return loss.detach()

    def judge(self, x_gen: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Returns L_adv of composites; the discriminator gets no gradient from it."""
        self._discriminator.requires_grad_(False)
        score = self._discriminator(x_gen, label_N)
        self._discriminator.requires_grad_(True)
        return adversarial_generator(score)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, done: int) -> None:
    """Updates the moving average of a network's weights and batch statistics (Yazici et al. 2019).

    In the first steps it is the plain mean of all steps so far, so that the random initial weights fade fast.

    Args:
        average: a copy of the network that holds the average; changed in place.
        network: the network after its latest step.
        done: steps so far, 1 or more.
    """
    means, values = [], []
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            means.append(mean)
            values.append(value)
        else:
            mean.copy_(value)
    get_ema_multi_avg_fn(min(_AVERAGE_DECAY, 1 - 1 / done))(means, values, done)
