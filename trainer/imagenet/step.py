"""One step of training an ImageNet CGN: passes whose gradients add up, and what they move (section 3.1)."""

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
from trainer.gan.adversary import Adversary
from trainer.imagenet.config import TrainImagenetConfig
from trainer.imagenet.objective import Objective
from trainer.imagenet.refinement import LEARNING_RATE, Refinement
from trainer.run.process_group import Team

TRUNCATION = 1.0  # of the noise: low values make worse classifiers (appendix C.3)


class Cause(NamedTuple):
    """What a pass is made of."""

    u_NL: torch.Tensor  # noise, one for all mechanisms, within [-2, 2]
    label_N: torch.Tensor
    random: torch.Generator  # of the patches


def draw_cause(config: TrainImagenetConfig, step: int, number: int, network: ImagenetCGN) -> Cause:
    """The cause of a step's pass: a function of the seed, the step and the number of the pass in it alone.

    So a run that is resumed, and one that is shared by several processes, sees what a whole one sees.
    """
    digest = hashlib.blake2b(f"{config.seed} {step} {number}".encode(), digest_size=8).digest()
    random = torch.Generator().manual_seed(int.from_bytes(digest) >> 1)
    count = config.settings.batch_size
    drawn = 1 if config.settings.one_class else count
    label_N = torch.randint(network.classes, (drawn,), generator=random).expand(count)
    return Cause(truncated_noise(count, network.latent, random), label_N, random)


@dataclass(frozen=True)
class Told:
    """What a step tells of itself, the mean over all its passes, of all processes.

    Attributes:
        values: the terms of L without their weights, "loss", their weighted sum, and "discriminator" where
            there is one.
        mu_mask: mean mask value.
    """

    values: dict[str, float]
    mu_mask: float


class Training:
    """A CGN with all that moves it.

    Args:
        config: of the run.
        network: what is trained; its cGAN and its mask network stay as they are. Goes to the team's device.
        team: of processes that this one is of.

    Attributes:
        network: the same.
        refinement: of composites; None unless it is asked for.
        parts: what a checkpoint must hold, by name. The frozen networks are the start model's.

    Raises:
        CgnInputError: see `Objective`.
    """

    def __init__(self, config: TrainImagenetConfig, network: ImagenetCGN, team: Team) -> None:
        settings = config.settings
        self._config, self._settings, self._team = config, settings, team
        self.network = network.to(team.device).to(memory_format=torch.channels_last)
        # Spectral norm's vectors move by `iterate_powers`, not in every pass.
        self.network.eval().requires_grad_(False)
        rates = {
            "f_shape": settings.lr_shape,
            "f_text": settings.lr_texture,
            "f_bg": settings.lr_background,
        }
        learners: dict[str, tuple[nn.Module, float]] = {
            name: (getattr(network, name), rate) for name, rate in rates.items()
        }
        torch.manual_seed(config.seed)  # of the networks that begin at random
        self.refinement = Refinement().to(team.device) if config.refine else None
        if self.refinement:
            learners["refinement"] = self.refinement, LEARNING_RATE
        self._mechanisms: list[BigGAN] = [getattr(network, name) for name in rates]
        self._adams: list[torch.optim.Adam] = []
        self.parts: dict[str, Any] = {}
        for name, (module, rate) in learners.items():
            adam = torch.optim.Adam(module.requires_grad_(True).parameters(), rate, fused=True)
            self._adams.append(adam)
            self.parts |= {name: module, f"adam_{name}": adam}
        self._adversary: Adversary | None = None
        if settings.weight_adversarial:
            self._adversary = Adversary(
                network.classes, network.resolution, config.lr_discriminator, team.device
            )
            self._adams.append(self._adversary.adam)
            self.parts |= self._adversary.parts
        self._objective = Objective(config, network.resolution, team.device)

    def step(self, done: int, stop: Callable[[], bool] = lambda: False) -> Told | None:
        """One step of Adam, of so many passes; None if asked to stop, and nothing has moved.

        Args:
            done: steps so far.
            stop: asked after every pass.
        """
        team, accumulation = self._team, self._settings.accumulation
        for adam in self._adams:
            adam.zero_grad()
        passes = team.size * accumulation
        sums: dict[str, torch.Tensor] = {}
        for number in range(team.rank, passes, team.size):
            for name, value in self._pass(done, number, 1 / passes).items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value / passes
            if team.any(stop()):
                return None
        parameters = [p for adam in self._adams for group in adam.param_groups for p in group["params"]]
        team.sum(p.grad for p in parameters if p.grad is not None)
        means = torch.stack(list(sums.values()))
        team.sum([means])
        values = dict(zip(sums, means.tolist(), strict=True))
        for adam in self._adams:
            adam.step()
        for mechanism in self._mechanisms:
            iterate_powers(mechanism)
        mean = values.pop("mu_mask")
        return Told(values, mean)

    def _pass(self, done: int, number: int, share: float) -> dict[str, torch.Tensor]:
        """Adds the gradients of one pass, ``share`` of a step, and returns what it tells, scalars."""
        network, device = self.network, self._team.device
        u_NL, label_N, random = draw_cause(self._config, done, number, network)
        u_NL, label_N = u_NL.to(device), label_N.to(device)
        y_NC = F.one_hot(label_N, network.classes).to(torch.float32)
        with torch.no_grad():
            x_gt = network.biggan_GT(u_NL, y_NC, TRUNCATION)
        out: Outputs = network(u_NL, y_NC, TRUNCATION)
        x_gen = self.refinement(out.composite) if self.refinement else out.composite

        terms = self._objective.terms(network, out, x_gen, x_gt, random)
        told = {}
        if self._adversary:
            told["discriminator"] = self._adversary.learn(x_gt, x_gen, label_N, share, done)
            terms["adversarial"] = self._adversary.judge(x_gen, label_N)
        loss = self._objective.total(terms)
        (share * loss).backward()
        told |= {"loss": loss, **terms, "mu_mask": mu_mask(out.mask)}
        return {name: value.detach() for name, value in told.items()}


@torch.no_grad()
def iterate_powers(biggan: BigGAN) -> None:
    """A step of spectral norm's power iteration in every layer, as often as its weights move (Miyato et al.,
    ICLR 2018, algorithm 1).

    Left to the layers it would be one in every pass, and so depend on how many processes share a step.
    """
    state = biggan.state_dict()  # the tensors themselves, not copies
    for name, weight in state.items():
        if name.endswith(".weight_orig"):
            stem = name.removesuffix("_orig")
            matrix, u, v = weight.flatten(1), state[f"{stem}_u"], state[f"{stem}_v"]
            v.copy_(F.normalize(matrix.mT @ u, dim=0))
            u.copy_(F.normalize(matrix @ v, dim=0))
