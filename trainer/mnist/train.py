"""Trains a CGN (paper section 3.1): `python -m trainer train_cgn --help`.

The joint stage trains all mechanisms end to end, through the composer, against one discriminator. The
segmenter stage then trains a segmenter on the composites, whose masks are known. The shape stage trains the
shape mechanism on the masks that the segmenter finds in real images. Class labels are the only supervision,
and no downloaded weights are needed. If the masks have collapsed, the run starts again with another seed. It
fails if the masks collapse in the last attempt as well.
"""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from cgn.data import DataError, ImageSet, training_images
from cgn.datasets import FOLDER
from cgn.device import resolve_device
from cgn.families.mnist.family import build
from cgn.families.mnist.network import MnistCGN
from cgn.metrics.masks import border_mass, mu_mask, soft_share
from trainer.mnist.collapse_report import CollapseReport, MaskCheck, summary
from trainer.mnist.config import TrainCgnConfig
from trainer.mnist.joint_stage import JointStage
from trainer.mnist.publish import publish
from trainer.mnist.samples import draw_samples
from trainer.mnist.segmenter_stage import SegmenterStage
from trainer.mnist.shape_stage import ShapeStage
from trainer.mnist.stage import Stage
from trainer.run.context import Published, RunContext, RunError
from trainer.run.cost import RunCost
from trainer.run.loop import TrainingLoop

WIDTH = 48  # channels of the mechanisms' maps
_STEPS_BETWEEN_SHEETS = 100  # the fewest steps between sample sheets, unless the config sets a number
JOINT_SHARE, SEGMENTER_SHARE = 0.43, 0.13  # shares of the steps of a run; the shape stage has the rest
GROSS_CHECKS = (1 / 3, 2 / 3, 1)  # shares of the joint stage after which collapsed masks end an attempt


def train_cgn(config: TrainCgnConfig, context: RunContext) -> Published:
    """Trains until the masks are sound, publishes the averaged weights, and returns the published version.

    Raises:
        CgnInputError: there are no weights for the style loss.
        RunError: the data cannot be used, the losses are not finite, the masks have collapsed in the last
            attempt as well, or the version exists.
        Stopped: a stop was requested; a checkpoint is written.
    """
    reporter = context.reporter
    cost = RunCost()
    data = _load_images(config)
    for note in data.provenance["notes"]:
        reporter.log(f"note: {note}")
    report = CollapseReport(
        context.run_dir, data.class_names, config.mask_lowest, config.mask_highest, resume=context.resume
    )
    resume = context.resume
    while True:
        average, check = train_attempt(config, replace(context, resume=resume), data, cost, report)
        reporter.artefact("collapse_report", report.path)
        collapse = summary(check.faults, len(check.measures)) if check.faults else ""
        if not collapse or config.publish_collapsed:
            if collapse:
                reporter.log(f"warning: {collapse}")
            return publish(config, context, data, average.cpu(), {"width": WIDTH}, report, check, cost)
        if cost.restarts >= config.restarts:
            raise RunError(
                f"{collapse}; nothing was published after {cost.restarts} restarts. See "
                f"{report.path.name} and the last sample sheet. More steps, or mask_lowest and mask_highest "
                "that fit your objects, may help; each image must hold one object (docs/own_images.md)"
            )
        cost.restarts += 1
        cost.resumed_at_step = 0
        reporter.log(f"restart {cost.restarts} of {config.restarts}: {collapse}")
        resume = False


def _load_images(config: TrainCgnConfig) -> ImageSet:
    """Loads the training images. Raises RunError if they cannot be used."""
    try:
        data = training_images(
            config.dataset,
            "train",
            folder=config.folder,
            resolution=config.resolution,
            limit=config.train_images,
        )
        if config.dataset == FOLDER:
            # Reads the held-out images as well: an unreadable one should fail now, not hours later in the
            # training of a classifier.
            training_images(config.dataset, "validation", folder=config.folder, resolution=config.resolution)
    except DataError as error:
        raise RunError(f"dataset {config.dataset}: {error}") from None
    return data


def attempt_seed(seed: int, restart: int) -> int:
    """Returns the seed of an attempt, 0 to 2**63 - 1; restart 0, the first attempt, has the run's seed."""
    if restart == 0:
        return seed
    digest = hashlib.blake2b(f"{seed} restart {restart}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


@dataclass(frozen=True)
class Attempt:
    """An attempt at training a CGN, before its first step.

    Attributes:
        average: the network with the moving average of the weights, the result of the attempt.
        random: generator of all random draws.
        stages: the stages in order; the steps of all stages add up to the steps of the run.
    """

    average: MnistCGN
    random: torch.Generator
    stages: tuple[Stage, ...]


def begin_attempt(config: TrainCgnConfig, data: ImageSet, device: torch.device, seed: int) -> Attempt:
    """Builds the networks and stages of an attempt, with initial weights from its seed.

    Raises:
        CgnInputError: there are no weights for the style loss.
    """
    torch.manual_seed(seed)  # for the initial weights
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
    config: TrainCgnConfig, context: RunContext, data: ImageSet, cost: RunCost, report: CollapseReport
) -> tuple[MnistCGN, MaskCheck]:
    """Trains one attempt, to its last step or until a gross check finds that its masks have collapsed.

    Returns:
        The averaged network, and the last check of its masks.

    Raises:
        RunError: the losses are not finite, or the checkpoint belongs to another run.
        Stopped: a stop was requested; a checkpoint is written.
    """
    reporter, run_dir = context.reporter, context.run_dir
    seed = attempt_seed(config.seed, cost.restarts)
    attempt = begin_attempt(config, data, resolve_device(context.device), seed)
    average, stages = attempt.average, attempt.stages
    parts: dict[str, Any] = {"random": attempt.random}
    for stage in stages:
        parts |= stage.parts
    loop = TrainingLoop(
        config,
        context,
        cost,
        parts,
        steps=config.steps,
        checkpoint_at=lambda done: done % config.checkpoint_every == 0,
        lower="lr_generator or lr_discriminator",
        images_per_step=config.batch_size,
        work=lambda steps: work_of(stages, steps),
    )
    if cost.restarts and not context.resume:
        loop.checkpoints.save(0)  # so that a killed run resumes in this attempt, not in the one before

    def check_masks(*, finished: bool) -> MaskCheck:
        restart = cost.restarts  # read only here: a checkpoint may have set it
        seed = attempt_seed(config.seed, restart)
        return report.check(average, restart=restart, seed=seed, step=loop.done, finished=finished)

    steps_per_epoch = -(-len(data.labels) // config.batch_size)
    sample_every = config.sample_every or max(steps_per_epoch, _STEPS_BETWEEN_SHEETS)
    gross_checks = {round(share * stages[0].steps) for share in GROSS_CHECKS if not config.publish_collapsed}
    for step in loop:
        # One step of the stage that the step belongs to.
        stage, done_in_stage = stage_at(stages, step)
        if step == loop.start or done_in_stage == 0:
            reporter.log(f"step {step}: training {stage.title}")
        result = stage.step(done_in_stage)

        # Report the losses, and measures of the masks.
        losses = {name: float(loss.detach()) for name, loss in result.losses.items()}
        masks = result.masks[:, 0].cpu().numpy()
        measures = {"border_mass": border_mass(masks).mean(), "soft_share": soft_share(masks).mean()}
        values = losses | {name: float(mean) for name, mean in measures.items()}
        loop.report(values | {"restarts": cost.restarts}, mu_mask(masks))

        # Masks that have collapsed beyond recovery end the attempt, with a last sample sheet.
        check = check_masks(finished=False) if loop.done in gross_checks else None
        collapsed = check is not None and bool(check.faults)
        if loop.every(sample_every) or collapsed:
            reporter.write("sample_sheet", draw_samples, run_dir, average, data, loop.done)
        if check and collapsed:
            return average, check
    return average, check_masks(finished=True)


def stage_at(stages: Sequence[Stage], step: int) -> tuple[Stage, int]:
    """Returns the stage of a step of the run, and the number of steps of the stage before it."""
    for stage in stages[:-1]:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    return stages[-1], step


def work_of(stages: Sequence[Stage], steps: int) -> float:
    """Returns the work of the first ``steps`` steps of a run, in the unit of `Stage.step_work`."""
    work = 0.0
    for stage in stages:
        steps_in_stage = min(steps, stage.steps)
        work += steps_in_stage * stage.step_work
        steps -= steps_in_stage
    return work


def stage_steps(steps: int) -> tuple[int, int, int]:
    """Returns the steps of each stage of a run: joint (at least one), segmenter, shape."""
    joint = max(1, round(JOINT_SHARE * steps))
    segmenter = min(round(SEGMENTER_SHARE * steps), steps - joint)
    return joint, segmenter, steps - joint - segmenter
