"""One training step of an ImageNet CGN (paper section 3.1): accumulated gradients, then Adam."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from cgn.families.imagenet.biggan import BigGAN
from cgn.families.imagenet.network import ImagenetCGN, Outputs
from cgn.families.network import truncated_noise
from cgn.metrics.masks import mu_mask
from trainer.gan.game import AccumulatingOpponent
from trainer.imagenet.config import TrainImagenetConfig
from trainer.imagenet.objective import Objective
from trainer.imagenet.refinement import LEARNING_RATE, Refinement
from trainer.run.process_group import ProcessGroup

TRUNCATION = 1.0  # of the noise: low values make worse classifiers (appendix C.3)


class MicroBatch(NamedTuple):
    """The inputs of one accumulation step.

    Attributes:
        u_NL: noise in [-2, 2], the same for all mechanisms.
        label_N: class indices, the same for all mechanisms.
        random: generator for the positions of patches.
    """

    u_NL: torch.Tensor
    label_N: torch.Tensor
    random: torch.Generator


def draw_micro_batch(config: TrainImagenetConfig, step: int, number: int, network: ImagenetCGN) -> MicroBatch:
    """Draws a micro-batch by the seed of the run, the training step and the number of the accumulation step.

    It depends on nothing else. So a resumed run, and a run of several processes, draw the same micro-batches
    as an uninterrupted run of one process.
    """
    digest = hashlib.blake2b(f"{config.seed} {step} {number}".encode(), digest_size=8).digest()
    random = torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
    count = config.settings.batch_size
    labels = 1 if config.settings.one_class else count
    label_N = torch.randint(network.classes, (labels,), generator=random).expand(count)
    return MicroBatch(truncated_noise(count, network.latent, random), label_N, random)


@dataclass(frozen=True)
class StepResult:
    """The losses of one training step, means over its accumulation steps in all processes.

    Attributes:
        losses: the terms of L without their weights; "loss", their weighted sum; and "discriminator" if there
            is one.
        mu_mask: mean mask value, 0 to 1.
    """

    losses: dict[str, float]
    mu_mask: float


class Training:
    """An ImageNet CGN with the optimisers of its mechanisms, and the refinement and discriminator if used.

    Args:
        config: options of the run.
        network: the CGN to train, moved to the group's device. Its cGAN and its mask network stay frozen.
        group: the processes that train together.

    Attributes:
        network: the CGN in training.
        refinement: the network that refines composites; None unless the config asks for it.
        parts: everything that a checkpoint holds, by name. The frozen networks are those of the start model.

    Raises:
        CgnInputError: see `Objective`.
    """

    def __init__(self, config: TrainImagenetConfig, network: ImagenetCGN, group: ProcessGroup) -> None:
        settings = config.settings
        self._config, self._settings, self._group = config, settings, group
        self.network = network.to(group.device).to(memory_format=torch.channels_last)
        # Eval mode: `update_spectral_norms` iterates the vectors of spectral norm, not each forward pass.
        self.network.eval().requires_grad_(False)
        rates = {
            "f_shape": settings.lr_shape,
            "f_text": settings.lr_texture,
            "f_bg": settings.lr_background,
        }
        learners: dict[str, tuple[nn.Module, float]] = {
            name: (getattr(network, name), rate) for name, rate in rates.items()
        }
        torch.manual_seed(config.seed)  # for the networks with random initial weights
        self.refinement = Refinement().to(group.device) if config.refine else None
        if self.refinement:
            learners["refinement"] = self.refinement, LEARNING_RATE
        self._mechanisms: list[BigGAN] = [getattr(network, name) for name in rates]
        self._adams: list[torch.optim.Adam] = []
        self.parts: dict[str, Any] = {}
        for name, (module, rate) in learners.items():
            adam = torch.optim.Adam(module.requires_grad_(True).parameters(), rate, fused=True)
            self._adams.append(adam)
            self.parts |= {name: module, f"adam_{name}": adam}
        self._opponent: AccumulatingOpponent | None = None
        if settings.weight_adversarial:
            self._opponent = AccumulatingOpponent(
                network.classes, network.resolution, config.lr_discriminator, group.device
            )
            self._adams.append(self._opponent.adam)
            self.parts |= self._opponent.parts
        self._objective = Objective(config, network.resolution, group.device)

    def step(self, done: int, stop_requested: Callable[[], bool] = lambda: False) -> StepResult | None:
        """One training step.

        Args:
            done: training steps so far.
            stop_requested: called after every accumulation step; the same result in all processes.

        Returns:
            The losses; None if a stop was requested, and then no weights have changed.
        """
        group = self._group
        for adam in self._adams:
            adam.zero_grad()

        # Accumulate gradients over the accumulation steps of this process.
        accumulation = group.size * self._settings.accumulation
        sums: dict[str, torch.Tensor] = {}
        for number in range(group.rank, accumulation, group.size):
            for name, value in self._accumulate(done, number, 1 / accumulation).items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value / accumulation
            if stop_requested():
                return None

        # Sum gradients and losses over all processes.
        parameters = [p for adam in self._adams for g in adam.param_groups for p in g["params"]]
        group.all_reduce(p.grad for p in parameters if p.grad is not None)
        means = torch.stack(list(sums.values()))
        group.all_reduce([means])

        # Update the weights.
        for adam in self._adams:
            adam.step()
        for mechanism in self._mechanisms:
            update_spectral_norms(mechanism)

        losses = dict(zip(sums, means.tolist(), strict=True))
        mean = losses.pop("mu_mask")
        return StepResult(losses, mean)

    def _accumulate(self, done: int, number: int, weight: float) -> dict[str, torch.Tensor]:
        """Adds the gradients of one accumulation step, times a weight. Returns its losses, scalars."""
        network, device = self.network, self._group.device
        u_NL, label_N, random = draw_micro_batch(self._config, done, number, network)
        u_NL, label_N = u_NL.to(device), label_N.to(device)
        y_NC = F.one_hot(label_N, network.classes).to(torch.float32)
        with torch.no_grad():
            x_gt = network.biggan_GT(u_NL, y_NC, TRUNCATION)
        out: Outputs = network(u_NL, y_NC, TRUNCATION)
        x_gen = self.refinement(out.composite) if self.refinement else out.composite

        terms = self._objective.terms(network, out, x_gen, x_gt, random)
        losses = {}
        if self._opponent:
            losses["discriminator"] = self._opponent.learn(x_gt, x_gen, label_N, weight, done)
            terms["adversarial"] = self._opponent.judge(x_gen, label_N)
        loss = self._objective.total(terms)
        (weight * loss).backward()
        losses |= {"loss": loss, **terms, "mu_mask": mu_mask(out.mask)}
        return {name: value.detach() for name, value in losses.items()}


@torch.no_grad()
def update_spectral_norms(biggan: BigGAN) -> None:
    """Applies one step of power iteration for spectral norm in every layer, once per update of the weights.

    The source is Miyato et al., ICLR 2018, algorithm 1. The layers would apply it in every forward pass, so
    the result would depend on the number of processes.
    """
    state = biggan.state_dict()  # the tensors themselves, not copies
    for name, weight in state.items():
        if name.endswith(".weight_orig"):
            stem = name.removesuffix("_orig")
            matrix, u, v = weight.flatten(1), state[f"{stem}_u"], state[f"{stem}_v"]
            v.copy_(F.normalize(matrix.mT @ u, dim=0))
            u.copy_(F.normalize(matrix @ v, dim=0))
