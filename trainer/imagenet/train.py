"""Trains a CGN of the ImageNet family (paper section 3.1): `python -m trainer train_imagenet --help`.

All three mechanisms begin as the unconstrained cGAN, which goes on to draw the x_gt that their composites are
to match; no real image takes part. Several processes share the work if torchrun starts them, see
`trainer.run.process_group`.
"""

import math
from pathlib import Path

from safetensors.torch import save_file

from cgn.card import ModelCard
from cgn.families.imagenet.family import FAMILY
from cgn.families.imagenet.network import ImagenetCGN
from cgn.store import checkpoint
from cgn.store.versions import CheckpointError
from trainer.imagenet.config import TrainImagenetConfig
from trainer.imagenet.publish import publish
from trainer.imagenet.samples import animate_samples, clear_samples, draw_samples
from trainer.imagenet.scores import Scores, load_classifier
from trainer.imagenet.step import Training
from trainer.run.checkpoints import Checkpoints
from trainer.run.context import Published, RunContext, RunError, Stopped
from trainer.run.cost import Account
from trainer.run.process_group import Team

REFINEMENT = "refinement.safetensors"


def train_imagenet(config: TrainImagenetConfig, context: RunContext) -> Published:
    """Trains, publishes the last weights, and returns the version; a process that does not lead, none.

    Raises:
        CgnInputError: a start model, features or a classifier that cannot be used.
        RunError: a start model without a cGAN, losses that are no longer numbers, or a version that exists.
        Stopped: asked to stop; a checkpoint of the last whole step is written.
    """
    team = Team(context.device)
    try:
        return _train(config, context, team)
    finally:
        team.leave()


def _train(config: TrainImagenetConfig, context: RunContext, team: Team) -> Published:
    reporter, run_dir, settings = context.reporter, context.run_dir, config.settings
    team.agree("--version", context.version)
    team.agree("--run-dir", str(run_dir))
    account = Account()
    network, start_card = load_start(config, context.models_dir)
    training = Training(config, network, team)
    checkpoints = Checkpoints(run_dir, config, training.parts | {"account": account})
    start = 0
    if context.resume:
        start, passed_over = checkpoints.resume()
        account.resumed_at_step = start
        for line in [*passed_over, f"resuming after step {start}"] if team.leads else []:
            reporter.log(line)
    elif team.leads:
        checkpoints.clear()
        clear_samples(run_dir)
    scores = None
    if config.classifier:
        path = context.file(config.classifier)
        classify = load_classifier(path, network.classes, network.resolution, team.device)
        scores = Scores(run_dir, classify, config.score_images, start)

    def look(step: int) -> None:
        """Draws a sheet and takes a score."""
        names = start_card.class_names
        reporter.write("sample_sheet", draw_samples, run_dir, network, training.refinement, names, step)
        if scores:
            scores.take(network, training.refinement, step)

    def save(step: int) -> None:
        account.settle()
        reporter.write("checkpoint", checkpoints.save, step)

    if team.leads:
        images = settings.batch_size * settings.accumulation * team.size
        reporter.begin(start, settings.steps, images_per_step=images)
        if start == 0:
            look(0)
    told = None
    for step in range(start, settings.steps):
        told = training.step(step, lambda: context.stop.requested)
        if told is None:
            if team.leads:
                save(step)
            raise Stopped
        done = step + 1
        if not all(map(math.isfinite, told.values.values())):
            raise RunError(f"the losses are no longer numbers after step {done}; lower the learning rates")
        if team.leads:
            if done % config.sample_every == 0 or done == settings.steps:
                look(done)
            reporter.progress(done, told.values | (scores.latest if scores else {}), told.mu_mask)
            if done % config.checkpoint_every == 0 or done == settings.steps:
                save(done)
    if not team.leads:
        return Published()
    reporter.artefact("sample_sheet", animate_samples(run_dir))
    if scores:
        reporter.artefact("scores", scores.path)
    if training.refinement:
        tensors = {name: t.cpu().contiguous() for name, t in training.refinement.state_dict().items()}
        save_file(tensors, run_dir / REFINEMENT)
        reporter.artefact("checkpoint", run_dir / REFINEMENT)
    account.settle()
    mu_mask = told.mu_mask if told else None
    return publish(config, context, network, start_card, account, team.size, mu_mask)


def load_start(config: TrainImagenetConfig, models_dir: Path) -> tuple[ImagenetCGN, ModelCard]:
    """The model to begin from, on the CPU, and its card.

    Raises:
        RunError: no such model, a damaged one, one of another family, or without the unconstrained cGAN.
    """
    try:
        network, card = checkpoint.load_trained_of(
            FAMILY, models_dir, config.start_model, config.start_version
        )
    except CheckpointError as error:
        cure = "make import makes one from public weights, start_imagenet from your own (docs/imagenet.md)"
        raise RunError(f"start_model: {error.description}; {cure}") from error
    if not network.sizes.reference:
        raise RunError(f"start_model: {card.name} {card.version} must have its unconstrained cGAN")
    return network, card
