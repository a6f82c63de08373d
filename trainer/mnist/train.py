"""Trains a CGN (paper section 3.1): `python -m trainer train_cgn --help`.

First all mechanisms are optimised jointly, end to end, through the composer, against one discriminator. Their
composites then teach a segmenter to see the object in real images, and the masks it finds there are what the
shape mechanism goes on to learn from. Nothing but class labels supervises any of it, and no downloaded
weights need take part. A run whose masks have collapsed begins again with another seed, and fails if that
does not help.
"""

import copy
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cgn.data import DataError, ImageSet, training_images
from cgn.datasets import FOLDER
from cgn.device import resolve_device
from cgn.families.mnist.family import build
from cgn.families.mnist.network import MnistCGN
from cgn.metrics.masks import border_mass, mu_mask, soft_share
from trainer.mnist.collapse_report import CollapseReport, Look, summary
from trainer.mnist.config import TrainCgnConfig
from trainer.mnist.joint_stage import JointStage
from trainer.mnist.publish import publish
from trainer.mnist.samples import draw_samples
from trainer.mnist.segmenter_stage import SegmenterStage
from trainer.mnist.shape_stage import ShapeStage
from trainer.mnist.stage import Stage
from trainer.run.checkpoints import Checkpoints
from trainer.run.context import Published, RunContext, RunError, Stopped
from trainer.run.cost import Account

WIDTH = 48  # channels of the mechanisms' maps
_STEPS_BETWEEN_SHEETS = 100  # at least, unless another number is asked for
JOINT_SHARE, SEGMENTER_SHARE = 0.43, 0.13  # of a run's steps; the shape stage has the rest
GROSS_CHECKS = (1 / 3, 2 / 3, 1)  # shares of the joint stage after which masks beyond hope end an attempt


def train_cgn(config: TrainCgnConfig, context: RunContext) -> Published:
    """Trains until the masks come out sound, publishes the averaged weights, and returns the version.

    Raises:
        CgnInputError: there are no weights for the style loss.
        RunError: the data cannot be used, the losses are no longer numbers, the masks have collapsed in the
            last attempt too, or the version exists.
        Stopped: asked to stop; a checkpoint is written.
    """
    reporter = context.reporter
    account = Account()
    try:
        data = training_images(
            config.dataset,
            "train",
            folder=config.folder,
            resolution=config.resolution,
            limit=config.train_images,
        )
        if config.dataset == FOLDER:  # an image that a classifier could not read is told now, not hours later
            training_images(config.dataset, "validation", folder=config.folder, resolution=config.resolution)
    except DataError as error:
        raise RunError(f"dataset {config.dataset}: {error}") from None
    for note in data.provenance["notes"]:
        reporter.log(f"note: {note}")
    resume = context.resume
    report = CollapseReport(
        context.run_dir, data.class_names, config.mask_lowest, config.mask_highest, resume=resume
    )
    while True:
        average, look = train_attempt(config, context, data, account, report, resume)
        reporter.artefact("collapse_report", report.path)
        found = summary(look.faults, len(look.measures)) if look.faults else ""
        if not found or config.publish_collapsed:
            if found:
                reporter.log(f"warning: {found}")
            account.settle()
            return publish(config, context, data, average.cpu(), {"width": WIDTH}, report, look, account)
        if account.restarts >= config.restarts:
            raise RunError(
                f"{found}; nothing was published after {account.restarts} restarts. See "
                f"{report.path.name} and the last sample sheet. More steps, or mask_lowest and mask_highest "
                "that fit your objects, may help; each image must hold one object (docs/own_images.md)"
            )
        account.restarts += 1
        account.resumed_at_step = 0
        reporter.log(f"restart {account.restarts} of {config.restarts}: {found}")
        resume = False


def attempt_seed(seed: int, restart: int) -> int:
    """Seed of a restart, 0 to 2**63 - 1; of the first attempt (restart 0) it is the run's own."""
    if restart == 0:
        return seed
    digest = hashlib.blake2b(f"{seed} restart {restart}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


@dataclass(frozen=True)
class Attempt:
    """An attempt at a CGN, before its first step.

    Attributes:
        average: of the network's weights; it is what an attempt comes to.
        random: of everything that is drawn.
        stages: one after the other, their steps together the run's.
    """

    average: MnistCGN
    random: torch.Generator
    stages: tuple[Stage, ...]


def begin_attempt(config: TrainCgnConfig, data: ImageSet, device: torch.device, seed: int) -> Attempt:
    """An attempt with weights of its own.

    Raises:
        CgnInputError: there are no weights for the style loss.
    """
    torch.manual_seed(seed)  # of the initial weights
    network = build({"width": WIDTH}, len(data.class_names), data.resolution).to(device)
    network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    random = torch.Generator().manual_seed(seed)
    joint_steps, segmenter_steps, shape_steps = stage_steps(config.steps)
    joint = JointStage(config, data, network, average, random, joint_steps)
    segmenter = SegmenterStage(data, average, config.later_batch_size, random, segmenter_steps)
    shape = ShapeStage(config, data, segmenter.masks, network, average, random, shape_steps)
    return Attempt(average, random, (joint, segmenter, shape))


def train_attempt(
    config: TrainCgnConfig,
    context: RunContext,
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
    reporter, run_dir = context.reporter, context.run_dir
    seed = attempt_seed(config.seed, account.restarts)
    attempt = begin_attempt(config, data, resolve_device(context.device), seed)
    average, stages = attempt.average, attempt.stages
    parts = {"random": attempt.random, "account": account}
    for stage in stages:
        parts |= stage.parts
    checkpoints = Checkpoints(run_dir, config, parts)
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

    passes = -(-len(data.labels) // config.batch_size)
    sample_every = config.sample_every or max(passes, _STEPS_BETWEEN_SHEETS)
    looks = {round(share * stages[0].steps) for share in GROSS_CHECKS if not config.publish_collapsed}
    reporter.begin(
        start,
        config.steps,
        lambda step: work_of(stages, step),
        images_per_step=config.batch_size,
    )
    for step in range(start, config.steps):
        stage, done_of_stage = stage_at(stages, step)
        if step == start or done_of_stage == 0:
            reporter.log(f"step {step}: training {stage.title}")
        told = stage.step(done_of_stage)

        done = step + 1
        values = {name: float(value.detach()) for name, value in told.values.items()}
        if not all(map(math.isfinite, values.values())):
            raise RunError(
                f"the losses are no longer numbers after step {done}; lower lr_generator or lr_discriminator"
            )
        masks = told.masks[:, 0].cpu().numpy()
        values["border_mass"] = float(border_mass(masks).mean())
        values["soft_share"] = float(soft_share(masks).mean())
        values["restarts"] = account.restarts
        reporter.progress(done, values, mu_mask(masks))
        look = None
        if done in looks:
            look = look_at_masks(done, finished=False)
        given_up = look is not None and bool(look.faults)
        if done % sample_every == 0 or done == config.steps or given_up:
            reporter.write("sample_sheet", draw_samples, run_dir, average, data, done)
        if look and given_up:
            return average, look
        if done % config.checkpoint_every == 0 or context.stop.requested:
            account.settle()
            reporter.write("checkpoint", checkpoints.save, done)
        if context.stop.requested and done < config.steps:
            raise Stopped
    return average, look_at_masks(config.steps, finished=True)


def stage_at(stages: Sequence[Stage], step: int) -> tuple[Stage, int]:
    """The stage that a step of the run belongs to, and how many of its own steps come before."""
    for stage in stages[:-1]:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    return stages[-1], step


def work_of(stages: Sequence[Stage], steps: int) -> float:
    """What so many first steps of a run take, in the unit of the stages."""
    work = 0.0
    for stage in stages:
        of_stage = min(steps, stage.steps)
        work += of_stage * stage.step_work
        steps -= of_stage
    return work


def stage_steps(steps: int) -> tuple[int, int, int]:
    """How many of a run's steps its stages take: joint (at least one), segmenter, shape."""
    joint = max(1, round(JOINT_SHARE * steps))
    segmenter = min(round(SEGMENTER_SHARE * steps), steps - joint)
    return joint, segmenter, steps - joint - segmenter
