"""A discriminator in place of L_rec: composites are to look like pictures of the unconstrained cGAN."""

from typing import Any

import torch

from cgn.losses import masks_and_game as losses
from trainer.gan.discriminator import Discriminator
from trainer.gan.game import R1_EVERY, R1_WEIGHT, game_optimiser

WIDTH = 24  # channels of its first map


class Adversary:
    """D and its optimiser, whose gradients add up over the passes of a step.

    The paper's alternative to L_rec, which it found not to scale to ImageNet (section 3.1, "Composition
    Mechanism"). Beside `trainer.gan.game.Opponent` it waits with its move until a step's last pass.
    """

    def __init__(self, classes: int, resolution: int, rate: float, device: torch.device) -> None:
        self._discriminator = Discriminator(3, classes, resolution, WIDTH).to(device)
        self.adam = game_optimiser(self._discriminator)
        self.adam.param_groups[0]["lr"] = rate
        self.parts: dict[str, Any] = {"discriminator": self._discriminator, "adam_d": self.adam}

    def learn(
        self, x_gt: torch.Tensor, x_gen: torch.Tensor, label_N: torch.Tensor, share: float, done: int
    ) -> torch.Tensor:
        """Adds the gradients of one pass to D's, and returns its loss, with R1 in the steps that have it.

        Args:
            x_gt, x_gen: pictures (N, 3, R, R) in [-1, 1], of the same labels.
            label_N: class indices.
            share: of the step that the pass is.
            done: steps so far.
        """
        with_r1 = done % R1_EVERY == 0
        x_gt = x_gt.clone().requires_grad_(with_r1)
        score_real = self._discriminator(x_gt, label_N)
        loss = losses.adversarial_discriminator(score_real, self._discriminator(x_gen.detach(), label_N))
        if with_r1:
            loss = loss + R1_EVERY * R1_WEIGHT / 2 * losses.r1_penalty(score_real, x_gt)
        (share * loss).backward()
        return loss.detach()

    def judge(self, x_gen: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """L_adv of composites; its gradient goes to them alone."""
        self._discriminator.requires_grad_(False)
        score = self._discriminator(x_gen, label_N)
        self._discriminator.requires_grad_(True)
        return losses.adversarial_generator(score)
