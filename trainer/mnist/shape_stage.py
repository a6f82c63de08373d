"""The shape stage of training a CGN: the shape mechanism alone, against the masks of real images.

In the joint stage, the discriminator sees composites, where strong textures hide errors of the shape. Here it
compares masks with masks. The stage matters most for data sets with strong textures, such as stripes and
veins.
"""

from collections.abc import Callable
from typing import Any

import torch

from cgn.data import ImageSet
from cgn.families.mnist import network as mnist
from cgn.families.mnist.network import MnistCGN
from trainer.gan.discriminator import Discriminator
from trainer.gan.game import Opponent, game_optimiser, set_rate, update_average
from trainer.mnist.config import TrainCgnConfig
from trainer.mnist.stage import StepResult, rate_factor
from trainer.run.precision import half_precision

DISCRIMINATOR_WIDTH = 32


class ShapeStage:
    """Trains the shape mechanism against a discriminator of masks, from its state after the joint stage.

    Args:
        config: options of the run.
        data: the training images.
        find_masks: returns the masks of the training images; called once, in the first step.
        network: the CGN to train, on the device.
        average: its moving average.
        random: generator of all random draws.
        steps: steps of this stage.
    """

    title = "the shape mechanism, against the masks of real images"
    step_work = 0.6

    def __init__(
        self,
        config: TrainCgnConfig,
        data: ImageSet,
        find_masks: Callable[[], torch.Tensor],
        network: MnistCGN,
        average: MnistCGN,
        random: torch.Generator,
        steps: int,
    ) -> None:
        self._config, self._labels, self._find_masks = config, data.labels, find_masks
        self._shape, self._average, self._classes = network.shape, average.shape, network.classes
        self._random, self.steps = random, steps
        self._device = next(network.parameters()).device
        self._masks: torch.Tensor | None = None
        classes, resolution = network.classes, network.resolution
        discriminator = Discriminator(1, classes, resolution, DISCRIMINATOR_WIDTH, folded=True)
        self._opponent = Opponent(discriminator, self._device)
        self._adam = game_optimiser(self._shape)
        self.parts: dict[str, Any] = {
            "adam_shape": self._adam,
            **{f"mask_{name}": part for name, part in self._opponent.parts.items()},
        }

    def step(self, done: int) -> StepResult:
        """One step of the discriminator and one of the mechanism; done: steps of this stage so far."""
        config, device = self._config, self._device
        if self._masks is None:
            self._masks = self._find_masks()
        left = rate_factor(done, self.steps)
        chosen = torch.randint(len(self._labels), (config.later_batch_size,), generator=self._random)
        m_real, label_N = self._masks[chosen].to(device, torch.float32), self._labels[chosen].to(device)
        u_NL = torch.randn(len(label_N), mnist.LATENT, generator=self._random).to(device)
        with half_precision(device):
            m = self._shape(u_NL, mnist.one_hot(label_N, self._classes)).float()

        loss_d = self._opponent.learn(m_real, m, label_N, left * config.lr_discriminator, done)
        loss_g = self._opponent.judge(m, label_N)
        set_rate(self._adam, left * config.lr_generator)
        self._adam.zero_grad()
        loss_g.backward()
        self._adam.step()
        update_average(self._average, self._shape, done + 1)
        return StepResult({"generator": loss_g, "discriminator": loss_d}, m.detach())
