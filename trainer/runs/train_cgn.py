"""Trains a CGN on a variant of MNIST (paper section 3.1): `python -m trainer.runs.train_cgn --help`.

All mechanisms are optimised jointly, end to end, through the composer, against one discriminator. Nothing
but class labels supervises them, and no downloaded weights take part.
"""

import copy
import sys
import time
from typing import Any

import torch

from cgn import checkpoint, losses
from cgn.card import MaskBounds
from cgn.composer import compose
from cgn.data import DataError, VariantSet, make_variant
from cgn.device import resolve_device
from cgn.mechanisms import mnist
from cgn.model import MnistCGN, build_network
from trainer.runs.checkpoints import Checkpoints
from trainer.runs.command import Published, RunError, Stopped, Surroundings, run_command
from trainer.runs.discriminator import Discriminator
from trainer.runs.provenance import provenance
from trainer.runs.samples import draw_samples
from trainer.runs.train_cgn_config import TrainCgnConfig

WIDTH = 32  # channels of the mechanisms at 8x8 pixels
ADAM_BETAS = (0.0, 0.99)  # no momentum: the opponent moves too
EMA_DECAY = 0.995  # of the weights that are published (Yazici et al. 2019)
R1_WEIGHT = 1.0  # gamma: half of it times the R1 penalty is added
R1_EVERY = 8  # steps between R1 penalties, which are scaled up in turn (lazy regularisation)
RATE_DECAY = 0.4  # share of the run, its last, over which the learning rates fall to 0: settle, then cut fine
BINARY_RAMP = 0.5  # share of the run over which L_binary grows to full weight: find the shape, then cut it
MASK_INTERVAL = (0.04, 0.35)  # mean mask values that L_mask leaves alone; digits cover 0.06 to 0.37
COLLAPSED_BELOW, COLLAPSED_ABOVE = 0.03, 0.45  # mean mask values that no healthy digit class has


def train_cgn(config: TrainCgnConfig, surroundings: Surroundings) -> Published:
    """Trains, publishes the averaged weights, and returns the published version.

    Raises:
        RunError: the data cannot be used, the losses are no longer numbers, or the version exists.
        Stopped: asked to stop; a checkpoint is written.
    """
    reporter = surroundings.reporter
    try:
        data = make_variant(config.dataset, "train", limit=config.train_images)
    except DataError as error:
        raise RunError(f"dataset {config.dataset}: {error}") from None
    for note in data.provenance["notes"]:  # type: ignore[attr-defined]
        reporter.log(f"note: {note}")

    device = resolve_device(surroundings.device)
    torch.manual_seed(config.seed)  # initial weights; everything later is drawn from `random`
    network = build_network("mnist", {"width": WIDTH}).to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False)
    discriminator = Discriminator(mnist.CLASSES).to(device).to(memory_format=torch.channels_last)
    adam_g = torch.optim.Adam(network.parameters(), config.lr_generator, betas=ADAM_BETAS)
    adam_d = torch.optim.Adam(discriminator.parameters(), config.lr_discriminator, betas=ADAM_BETAS)
    style_loss = losses.StyleLoss().to(device)
    random = torch.Generator().manual_seed(config.seed)

    parts = {"network": network, "average": average, "discriminator": discriminator}
    checkpoints = Checkpoints(
        surroundings.run_dir, config, {**parts, "adam_g": adam_g, "adam_d": adam_d, "random": random}
    )
    start = 0
    if surroundings.resume:
        start, passed_over = checkpoints.resume()
        for line in passed_over:
            reporter.log(line)
        reporter.log(f"resuming after step {start}")

    sample_every = config.sample_every or -(-len(data.labels) // config.batch_size)
    began = time.monotonic()
    reporter.begin(start, config.steps)
    for step in range(start, config.steps):
        decay = min(1.0, (config.steps - step) / (RATE_DECAY * config.steps))
        adam_g.param_groups[0]["lr"] = decay * config.lr_generator
        adam_d.param_groups[0]["lr"] = decay * config.lr_discriminator
        chosen = torch.randint(len(data.labels), (config.batch_size,), generator=random)
        x_NCHW, label_N = data.images[chosen].to(device), data.labels[chosen].to(device)
        with half_precision(device):
            m, f, b = (output.float() for output in draw(network, label_N, random))
        x_gen = compose(m, f, b)

        # Discriminator: real images against composites, both with the label that all mechanisms got.
        with_r1 = step % R1_EVERY == 0
        with half_precision(device):
            score_real = discriminator(x_NCHW.requires_grad_(with_r1), label_N).float()
            score_fake = discriminator(x_gen.detach(), label_N).float()
        loss_d = losses.adversarial_discriminator(score_real, score_fake)
        if with_r1:
            loss_d = loss_d + R1_EVERY * R1_WEIGHT / 2 * losses.r1_penalty(score_real, x_NCHW)
        adam_d.zero_grad()
        loss_d.backward()
        adam_d.step()

        # Mechanisms: L = L_adv + L_binary + L_mask + L_style, jointly.
        ramp = min(1.0, step / (BINARY_RAMP * config.steps))
        with half_precision(device):
            score_gen = discriminator(x_gen, label_N).float()
        terms = {
            "adversarial": losses.adversarial_generator(score_gen),
            "binary": losses.binary_entropy(m),
            "mask": losses.mask_interval(m, *MASK_INTERVAL) + losses.border_mass(m),
            "style": style_loss(x_gen, x_NCHW.detach()),
        }
        loss_g = (
            terms["adversarial"]
            + ramp * config.weight_binary * terms["binary"]
            + config.weight_mask * terms["mask"]
            + config.weight_style * terms["style"]
        )
        adam_g.zero_grad()
        loss_g.backward()
        adam_g.step()
        update_average(average, network, max(1 - EMA_DECAY, 1 / (step + 1)))

        done = step + 1
        values = {"generator": loss_g, "discriminator": loss_d, **terms}
        if not torch.isfinite(loss_g + loss_d):
            raise RunError(
                f"the losses are no longer numbers after step {done}; lower lr_generator or lr_discriminator"
            )
        reporter.progress(
            done, {name: float(v.detach()) for name, v in values.items()}, float(m.detach().mean())
        )
        if done % sample_every == 0 or done == config.steps:
            reporter.artefact("sample_sheet", draw_samples(surroundings.run_dir, average, data, done))
        if done % config.checkpoint_every == 0 or surroundings.stop.requested:
            reporter.artefact("checkpoint", checkpoints.save(done))
        if surroundings.stop.requested and done < config.steps:
            raise Stopped
    return publish(config, surroundings, average.cpu(), data, time.monotonic() - began, start)


def half_precision(device: torch.device) -> torch.autocast:
    """Convolutions in bfloat16 where the device has matrix units for it."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported())
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu.get_capabilities().get("amx_bf16", False))


def draw(
    network: MnistCGN, label_N: torch.Tensor, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Masks, foregrounds and backgrounds of one noise and one label for all three (section 3.1)."""
    n, device = len(label_N), label_N.device
    u_NL = torch.randn(n, mnist.LATENT, generator=random).to(device)
    y_NC = mnist.one_hot(label_N)
    rolls = torch.randint(mnist.RESOLUTION, (2, n, 2), generator=random).to(device)
    return (
        network.shape(u_NL, y_NC),
        network.texture(u_NL, y_NC, rolls[0]),
        network.background(u_NL, y_NC, rolls[1]),
    )


@torch.no_grad()
def update_average(average: MnistCGN, network: MnistCGN, weight: float) -> None:
    """Moves the average a share ``weight`` of the way to the network, batch statistics included."""
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value, weight)
        else:
            mean.copy_(value)


@torch.no_grad()
def mask_means(network: MnistCGN, images: int = 200) -> list[float]:
    """Mean mask value of each class over random noise, in [0, 1]."""
    random = torch.Generator().manual_seed(0)
    means = []
    for label in range(mnist.CLASSES):
        u_NL = torch.randn(images, mnist.LATENT, generator=random)
        m = network.eval().shape(u_NL, mnist.one_hot(torch.full((images,), label)))
        means.append(round(float(m.mean()), 4))
    return means


def mask_bounds(mean: float) -> MaskBounds:
    """Within half and twice the class's own mean, and never where only a collapsed mask can be."""
    low, high = max(COLLAPSED_BELOW, mean / 2), min(COLLAPSED_ABOVE, mean * 2)
    if low >= high:
        low, high = COLLAPSED_BELOW, COLLAPSED_ABOVE
    return MaskBounds(round(low, 4), round(high, 4))


def publish(
    config: TrainCgnConfig,
    surroundings: Surroundings,
    average: MnistCGN,
    data: VariantSet,
    seconds: float,
    resumed_at: int,
) -> Published:
    """Publishes the averaged weights with the card that says how they came to be."""
    means = mask_means(average)
    bounds = [mask_bounds(mean) for mean in means]
    notes = list(data.provenance["notes"])  # type: ignore[call-overload]
    collapsed = [i for i, mean in enumerate(means) if not COLLAPSED_BELOW <= mean <= COLLAPSED_ABOVE]
    if collapsed:
        notes.append(f"the masks of classes {collapsed} have collapsed: their mean is outside the bounds")
        surroundings.reporter.log(f"note: {notes[-1]}; more steps may help")
    training: dict[str, Any] = {
        **provenance("train_cgn", config, surroundings.version),
        "data": data.provenance,
        "seconds": round(seconds, 1),
        "resumed_at_step": resumed_at,
    }
    try:
        card = checkpoint.publish(
            surroundings.models_dir,
            average,
            name=config.model_name,
            version=surroundings.version,
            family="mnist",
            architecture={"width": WIDTH},
            class_names=[str(digit) for digit in range(mnist.CLASSES)],
            resolution=mnist.RESOLUTION,
            latent_size=mnist.LATENT,
            mask_bounds=bounds,
            mask_mean=means,
            trained=True,
            training=training,
            notes=notes,
        )
    except checkpoint.VersionExists as error:
        # A run that was killed between publishing and saying so has nothing left to do.
        there = checkpoint.read_card(surroundings.models_dir, config.model_name, surroundings.version)
        if not surroundings.resume or there.training.get("config") != training["config"]:
            raise RunError(str(error)) from None
        card = there
    reporter = surroundings.reporter
    reporter.artefact("model", surroundings.models_dir / card.name / card.version)
    return Published(card.name, card.version)


if __name__ == "__main__":
    sys.exit(run_command(TrainCgnConfig, train_cgn, "Trains a CGN on a variant of MNIST."))
