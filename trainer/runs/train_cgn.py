"""Trains a CGN (paper section 3.1): `python -m trainer.runs.train_cgn --help`.

All mechanisms are optimised jointly, end to end, through the composer, against one discriminator. Nothing
but class labels supervises them, and no downloaded weights need take part. A run whose masks have collapsed
begins again with another seed, and fails if that does not help.
"""

import copy
import hashlib
import sys

import torch

from cgn import losses
from cgn.collapse import border_mass, frame_width, soft_share
from cgn.composer import compose
from cgn.data import DataError, ImageSet, training_images
from cgn.device import resolve_device
from cgn.mechanisms import mnist
from cgn.model import MnistCGN, build_network
from cgn.style import StyleLoss, Vgg16StyleLoss
from trainer.runs.account import Account
from trainer.runs.checkpoints import Checkpoints
from trainer.runs.collapse_report import CollapseReport, Look, summary
from trainer.runs.command import Published, RunError, Stopped, Surroundings, run_command
from trainer.runs.discriminator import Discriminator
from trainer.runs.precision import half_precision
from trainer.runs.publish_cgn import publish
from trainer.runs.samples import draw_samples
from trainer.runs.train_cgn_config import TrainCgnConfig

WIDTH = 32  # channels of the mechanisms at 8x8 pixels
ADAM_BETAS = (0.0, 0.99)  # no momentum: the opponent moves too
EMA_DECAY = 0.995  # of the weights that are published (Yazici et al. 2019)
R1_WEIGHT = 1.0  # gamma: half of it times the R1 penalty is added
R1_EVERY = 8  # steps between R1 penalties, which are scaled up in turn (lazy regularisation)
RATE_DECAY = 0.4  # share of the run, its last, over which the learning rates fall to 0: settle, then cut fine
BINARY_RAMP = 0.5  # share of the run over which L_binary grows to full weight: find the shape, then cut it
GROSS_CHECKS = (1 / 3, 2 / 3)  # shares of the run after which masks beyond hope end an attempt early


def train_cgn(config: TrainCgnConfig, surroundings: Surroundings) -> Published:
    """Trains until the masks come out sound, publishes the averaged weights, and returns the version.

    Raises:
        CgnInputError: there are no weights for the style loss.
        RunError: the data cannot be used, the losses are no longer numbers, the masks have collapsed in the
            last attempt too, or the version exists.
        Stopped: asked to stop; a checkpoint is written.
    """
    reporter = surroundings.reporter
    account = Account()
    try:
        data = training_images(
            config.dataset,
            "train",
            folder=config.folder,
            resolution=config.resolution,
            limit=config.train_images,
        )
    except DataError as error:
        raise RunError(f"dataset {config.dataset}: {error}") from None
    for note in data.provenance["notes"]:
        reporter.log(f"note: {note}")
    resume = surroundings.resume
    report = CollapseReport(
        surroundings.run_dir, data.class_names, config.mask_lowest, config.mask_highest, resume=resume
    )
    while True:
        average, look = train_attempt(config, surroundings, data, account, report, resume)
        reporter.artefact("collapse_report", report.path)
        for fault in look.faults:
            reporter.log(str(fault))
        if not look.faults or config.publish_collapsed:
            account.settle()
            return publish(config, surroundings, data, average.cpu(), {"width": WIDTH}, report, look, account)
        if account.restarts >= config.restarts:
            raise RunError(
                f"{summary(look.faults)}; nothing was published after {account.restarts} restarts. See "
                f"{report.path.name} and the last sample sheet. More steps, or mask_lowest and mask_highest "
                "that fit your objects, may help"
            )
        account.restarts += 1
        account.resumed_at_step = 0
        reporter.log(f"restart {account.restarts} of {config.restarts}: {summary(look.faults)}")
        resume = False


def attempt_seed(seed: int, restart: int) -> int:
    """Seed of a restart, 0 to 2**63 - 1; of the first attempt (restart 0) it is the run's own."""
    if restart == 0:
        return seed
    digest = hashlib.blake2b(f"{seed} restart {restart}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def train_attempt(
    config: TrainCgnConfig,
    surroundings: Surroundings,
    data: ImageSet,
    account: Account,
    report: CollapseReport,
    resume: bool,
) -> tuple[MnistCGN, Look]:
    """One attempt: from step 0, or on from the newest checkpoint, to the end or to masks beyond hope.

    Returns:
        The averaged network, and the last look at its masks.

    Raises:
        RunError: the losses are no longer numbers, or the checkpoint is of another run.
        Stopped: asked to stop; a checkpoint is written.
    """
    reporter, run_dir = surroundings.reporter, surroundings.run_dir
    device = resolve_device(surroundings.device)
    classes, resolution = len(data.class_names), data.resolution
    # Of the initial weights; everything later is drawn from `random`.
    seed = attempt_seed(config.seed, account.restarts)
    torch.manual_seed(seed)
    network = build_network("mnist", {"width": WIDTH}, classes, resolution).to(device)
    network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False)
    discriminator = Discriminator(classes, resolution).to(device).to(memory_format=torch.channels_last)
    adam_g = torch.optim.Adam(network.parameters(), config.lr_generator, betas=ADAM_BETAS)
    adam_d = torch.optim.Adam(discriminator.parameters(), config.lr_discriminator, betas=ADAM_BETAS)
    style_loss = Vgg16StyleLoss(config.vgg16_weights) if config.style == "vgg16" else StyleLoss()
    style_loss.to(device)
    random = torch.Generator().manual_seed(seed)

    parts = {"network": network, "average": average, "discriminator": discriminator}
    optimisers = {"adam_g": adam_g, "adam_d": adam_d}
    checkpoints = Checkpoints(run_dir, config, {**parts, **optimisers, "random": random, "account": account})
    start = 0
    if resume:
        start, passed_over = checkpoints.resume()
        account.resumed_at_step = start
        for line in passed_over:
            reporter.log(line)
        reporter.log(f"resuming after step {start}")
    else:
        checkpoints.clear()
        if account.restarts:  # what is resumed from now on is this attempt
            checkpoints.save(0)

    def look_at_masks(step: int, *, finished: bool) -> Look:
        restart = account.restarts  # only now: a checkpoint may have set it
        its_seed = attempt_seed(config.seed, restart)
        return report.look(average, restart=restart, seed=its_seed, step=step, finished=finished)

    sample_every = config.sample_every or -(-len(data.labels) // config.batch_size)
    looks = {round(share * config.steps) for share in GROSS_CHECKS if not config.publish_collapsed}
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
            "mask": losses.mask_interval(m, config.mask_lowest, config.mask_highest)
            + losses.border_mass(m, frame_width(resolution)),
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
        masks = m.detach()[:, 0].cpu().numpy()
        told = {name: float(value.detach()) for name, value in values.items()}
        told["border_mass"] = float(border_mass(masks).mean())
        told["soft_share"] = float(soft_share(masks).mean())
        told["restarts"] = account.restarts
        reporter.progress(done, told, float(masks.mean()))
        look = None
        if done in looks:
            look = look_at_masks(done, finished=False)
        given_up = look is not None and bool(look.faults)
        if done % sample_every == 0 or done == config.steps or given_up:
            reporter.artefact("sample_sheet", draw_samples(run_dir, average, data, done))
        if look and given_up:
            return average, look
        if done % config.checkpoint_every == 0 or surroundings.stop.requested:
            account.settle()
            reporter.artefact("checkpoint", checkpoints.save(done))
        if surroundings.stop.requested and done < config.steps:
            raise Stopped
    return average, look_at_masks(config.steps, finished=True)


def draw(
    network: MnistCGN, label_N: torch.Tensor, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Masks, foregrounds and backgrounds of one noise and one label for all three (section 3.1)."""
    n, device = len(label_N), label_N.device
    u_NL = torch.randn(n, mnist.LATENT, generator=random).to(device)
    y_NC = mnist.one_hot(label_N, network.classes)
    rolls = torch.randint(network.resolution, (2, n, 2), generator=random).to(device)
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


if __name__ == "__main__":
    description = "Trains a CGN on a variant of MNIST or on a folder of images."
    sys.exit(run_command(TrainCgnConfig, train_cgn, description))
