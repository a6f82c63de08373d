"""Publishes a trained ImageNet CGN with the card that says how it came to be."""

from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch

from cgn.card import MaskBounds, ModelCard
from cgn.families.imagenet.network import ImagenetCGN
from cgn.imports.import_weights import NOT_MEASURED, NOT_TRAINED, OBJECTS
from cgn.metrics.collapse import MEAN_BELOW, class_bounds, measure_network, verdict
from cgn.store import checkpoint
from trainer.imagenet.config import TrainImagenetConfig
from trainer.mnist.collapse_report import summary
from trainer.run.context import Published, RunContext
from trainer.run.cost import Account
from trainer.run.provenance import provenance
from trainer.run.publish import publish_once

LARGEST_MEASURED = 64  # pixels a side; beyond, so many masks of so many classes take too long


def publish(
    config: TrainImagenetConfig,
    context: RunContext,
    network: ImagenetCGN,
    start: ModelCard,
    account: Account,
    processes: int,
    mu_mask: float | None,
) -> Published:
    """Publishes a network, in float32; warns of masks that have collapsed, in the log and in the notes.

    Args:
        config: of the run.
        context: of the run.
        network: the trained one.
        start: card of the model that it began as.
        account: of what it cost.
        processes: that have trained it.
        mu_mask: mean mask value of the last step; None where there was none, after a resume.

    Raises:
        RunError: the version exists, and is not this run's.
    """
    bounds = mask_bounds(config)
    measures = measure_network(network) if network.resolution <= LARGEST_MEASURED else []
    faults = verdict(start.class_names, measures, bounds) if measures else []
    warnings = [summary(faults, len(measures))] if faults else []
    if not measures and mu_mask is not None and not bounds.lowest <= mu_mask <= bounds.highest:
        allowed = f"{bounds.lowest:g} to {bounds.highest:g}"
        warnings.append(f"the masks have collapsed: μ_mask {mu_mask:.3f} is outside {allowed}")
    for warning in warnings:
        context.reporter.log(f"warning: {warning}")
    notes = [note for note in start.notes if note not in (NOT_TRAINED, NOT_MEASURED)] + warnings
    if not measures:
        notes.append(NOT_MEASURED)
    if config.refine:
        notes.append("trained with a refinement network after the composer, which is not part of the model")
    training: dict[str, Any] = {
        **provenance("train_imagenet", config, context.version),
        "settings": asdict(config.settings),
        "start": {"name": start.name, "version": start.version, "digest": start.digest},
        "start_training": start.training,
        "processes": processes,
        "seconds": round(account.seconds, 1),
        "cpu_seconds": round(account.cpu_seconds, 1),
        "resumed_at_step": account.resumed_at_step,
    }
    make = partial(
        checkpoint.publish,
        context.models_dir,
        network,
        only_while=context.run_dir,
        attempt=context.attempt,
        dtype=torch.float32,
        name=config.model_name,
        version=context.version,
        family=start.family,
        architecture=start.architecture,
        class_names=start.class_names,
        class_ids=start.class_ids,
        resolution=start.resolution,
        latent_size=start.latent_size,
        mask_bounds=[class_bounds(m, bounds) for m in measures] or [bounds] * network.classes,
        mask_mean=[found.mean for found in measures],
        mask_border=[found.border for found in measures],
        mask_soft=[found.soft for found in measures],
        trained=start.trained,
        training=training,
        notes=notes,
        terms=start.terms,
    )
    return publish_once(context, config.model_name, training, make)


def mask_bounds(config: TrainImagenetConfig) -> MaskBounds:
    """Bounds of a class's masks that have not collapsed: L_mask's interval, which is met on average only."""
    return replace(
        OBJECTS,
        lowest=round(MEAN_BELOW * config.mask_lowest, 4),
        highest=round(1 - MEAN_BELOW * (1 - config.mask_highest), 4),
    )
