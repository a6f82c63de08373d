"""The joint stage of training a CGN (paper section 3.1): all mechanisms end to end, through the composer."""

from typing import Any

import torch

from cgn.composer import compose
from cgn.data import ImageSet
from cgn.families.mnist import network as mnist
from cgn.families.mnist.network import MnistCGN
from cgn.losses.masks import binary_entropy, edge_loss, mask_interval
from cgn.losses.style import StyleLoss, Vgg16StyleLoss
from cgn.metrics.masks import frame_width
from trainer.gan.discriminator import Discriminator
from trainer.gan.game import Opponent, game_optimiser, set_rate, update_average
from trainer.mnist.config import TrainCgnConfig
from trainer.mnist.stage import StepResult, rate_factor
from trainer.run.precision import half_precision

DISCRIMINATOR_WIDTH = 24
BINARY_RAMP = (
    0.5  # share of the stage over which the weight of L_binary grows: first find shapes, then sharpen them
)


class JointStage:
    """Trains the mechanisms against one discriminator of images; class labels are the only supervision.

    Args:
        config: options of the run.
        data: the training images.
        network: the CGN to train, on the device.
        average: its moving average.
        random: generator of all random draws.
        steps: steps of this stage, 1 or more.

    Raises:
        CgnInputError: there are no weights for the style loss.
    """

    title = "all mechanisms jointly"
    step_work = 1.0

    def __init__(
        self,
        config: TrainCgnConfig,
        data: ImageSet,
        network: MnistCGN,
        average: MnistCGN,
        random: torch.Generator,
        steps: int,
    ) -> None:
        self._config, self._data, self._random, self.steps = config, data, random, steps
        self._network, self._average = network, average
        self._device = next(network.parameters()).device
        discriminator = Discriminator(3, network.classes, network.resolution, DISCRIMINATOR_WIDTH)
        self._opponent = Opponent(discriminator, self._device)
        self._adam = game_optimiser(network)
        style = Vgg16StyleLoss(config.vgg16_weights) if config.style == "vgg16" else StyleLoss()
        self._style_loss = style.to(self._device)
        self.parts: dict[str, Any] = {
            "network": network,
            "average": average,
            "adam_g": self._adam,
            **self._opponent.parts,
        }

    def step(self, done: int) -> StepResult:
        """One step of the discriminator and one of the mechanisms; done: steps of this stage so far."""
        config, device = self._config, self._device
        left = rate_factor(done, self.steps)
        chosen = torch.randint(len(self._data.labels), (config.batch_size,), generator=self._random)
        x_NCHW, label_N = self._data.images[chosen].to(device), self._data.labels[chosen].to(device)
        with half_precision(device):
            m, f, b = (output.float() for output in draw(self._network, label_N, self._random))
        x_gen = compose(m, f, b)

        # Discriminator: real images against composites, both with the label that all mechanisms had.
        loss_d = self._opponent.learn(x_NCHW, x_gen, label_N, left * config.lr_discriminator, done)

        # Mechanisms: L = L_adv + L_binary + L_mask + L_style.
        ramp = min(1.0, done / (BINARY_RAMP * self.steps))
        terms = {
            "adversarial": self._opponent.judge(x_gen, label_N),
            "binary": binary_entropy(m),
            "mask": mask_interval(m, config.mask_lowest, config.mask_highest)
            + edge_loss(m, frame_width(self._network.resolution)),
            "style": self._style_loss(x_gen, x_NCHW.detach()),
        }
        loss_g = (
            terms["adversarial"]
            + ramp * config.weight_binary * terms["binary"]
            + config.weight_mask * terms["mask"]
            + config.weight_style * terms["style"]
        )
        set_rate(self._adam, left * config.lr_generator)
        self._adam.zero_grad()
        loss_g.backward()
        self._adam.step()
        update_average(self._average, self._network, done + 1)
        return StepResult({"generator": loss_g, "discriminator": loss_d, **terms}, m.detach())


def draw(
    network: MnistCGN, label_N: torch.Tensor, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns masks, foregrounds and backgrounds with the same labels and independent noise.

    The paper trains with the same noise for all mechanisms (section 3.1). The mechanisms can then learn
    correlations that counterfactuals break. Independent noise avoids that.
    """
    n, device = len(label_N), label_N.device
    u_NL = [torch.randn(n, mnist.LATENT, generator=random).to(device) for _ in range(3)]
    y_NC = mnist.one_hot(label_N, network.classes)
    rolls = torch.randint(network.resolution, (2, n, 2), generator=random).to(device)
    return (
        network.shape(u_NL[0], y_NC),
        network.texture(u_NL[1], y_NC, rolls[0]),
        network.background(u_NL[2], y_NC, rolls[1]),
    )
