"""Trains a CGN of the ImageNet family (paper section 3.1): `python -m trainer train_imagenet --help`.

All three mechanisms start from the weights of the unconstrained cGAN. The cGAN itself stays frozen and
generates the x_gt that composites have to match; no real image is used. Several processes share the work if
torchrun starts them, see `trainer.run.process_group`.
"""

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
from trainer.run.context import Published, RunContext, RunError
from trainer.run.cost import RunCost
from trainer.run.loop import TrainingLoop
from trainer.run.process_group import ProcessGroup

REFINEMENT = "refinement.safetensors"


def train_imagenet(config: TrainImagenetConfig, context: RunContext) -> Published:
    """Trains, publishes the last weights, and returns the version; only the main process publishes.

    Raises:
        CgnInputError: a start model, features or a classifier that cannot be used.
        RunError: a start model without a cGAN, losses that are not finite, or a version that exists.
        Stopped: a stop was requested; a checkpoint of the last whole step is written.
    """
    group = ProcessGroup(context.device)
    try:
        return _train(config, context, group)
    finally:
        group.close()


def _train(config: TrainImagenetConfig, context: RunContext, group: ProcessGroup) -> Published:
    reporter, run_dir, settings = context.reporter, context.run_dir, config.settings
    group.assert_same("--version", context.version)
    group.assert_same("--run-dir", str(run_dir))
    cost = RunCost()
    network, start_card = load_start(config, context.models_dir)
    training = Training(config, network, group)
    loop = TrainingLoop(
        config,
        context,
        cost,
        training.parts,
        steps=settings.steps,
        checkpoint_at=lambda done: done % config.checkpoint_every == 0 or done == settings.steps,
        lower="the learning rates",
        images_per_step=settings.batch_size * settings.accumulation * group.size,
        group=group,
    )
    if group.is_main and not context.resume:
        clear_samples(run_dir)
    scores = None
    if config.classifier:
        path = context.file(config.classifier)
        classify = load_classifier(path, network.classes, network.resolution, group.device)
        scores = Scores(run_dir, classify, config.score_images, loop.start)

    def evaluate(done: int) -> None:
        """Writes a sample sheet, and takes the scores."""
        names = start_card.class_names
        reporter.write("sample_sheet", draw_samples, run_dir, network, training.refinement, names, done)
        if scores:
            scores.take(network, training.refinement, done)

    # The start model is evaluated before the first step.
    if group.is_main and loop.start == 0:
        evaluate(0)
    mu_mask = None
    for step in loop:
        # One step of Adam on all accumulation steps; a stop in between leaves the weights as they are.
        result = training.step(step, loop.stop_requested)
        if result is None:
            loop.cancel_step()
        loop.check(result.losses)
        mu_mask = result.mu_mask

        # The main process evaluates first, so that the report has the latest scores.
        if group.is_main and loop.every(config.sample_every):
            evaluate(loop.done)
        loop.report(result.losses | (scores.latest if scores else {}), mu_mask)

    # Write the animation, the scores and the refinement, and publish the CGN.
    if not group.is_main:
        return Published()
    reporter.artefact("sample_sheet", animate_samples(run_dir))
    if scores:
        reporter.artefact("scores", scores.path)
    if training.refinement:
        tensors = {name: t.cpu().contiguous() for name, t in training.refinement.state_dict().items()}
        save_file(tensors, run_dir / REFINEMENT)
        reporter.artefact("checkpoint", run_dir / REFINEMENT)
    return publish(config, context, network, start_card, cost, group.size, mu_mask)


def load_start(config: TrainImagenetConfig, models_dir: Path) -> tuple[ImagenetCGN, ModelCard]:
    """Returns the start model, on the CPU, and its card.

    Raises:
        RunError: the model does not exist, is damaged, is of another family, or has no unconstrained cGAN.
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
