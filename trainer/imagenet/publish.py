"""Publishes a trained ImageNet CGN, with the record of its training on the card."""

from dataclasses import asdict, replace
from typing import Any

import torch

from cgn.card import MaskBounds, ModelCard
from cgn.families.imagenet.network import ImagenetCGN
from cgn.imports.card_fields import NOT_MEASURED, NOT_TRAINED, OBJECTS
from cgn.metrics.collapse import LOWEST_MEAN_FACTOR, find_faults, measure_network
from trainer.imagenet.config import TrainImagenetConfig
from trainer.mnist.collapse_report import summary
from trainer.run.context import Published, RunContext
from trainer.run.cost import RunCost
from trainer.run.provenance import provenance
from trainer.run.publish import mask_fields, publish_network

LARGEST_MEASURED = 64  # pixels a side; above it, measuring the masks of all classes takes too long


def publish(
    config: TrainImagenetConfig,
    context: RunContext,
    network: ImagenetCGN,
    start: ModelCard,
    cost: RunCost,
    processes: int,
    mu_mask: float | None,
) -> Published:
    """Publishes a network, in float32. Warns of collapsed masks, in the log and in the notes of the card.

    Args:
        config: options of the run.
        context: context of the run.
        network: the trained network.
        start: card of the start model.
        cost: the cost of the run.
        processes: number of processes that trained the network.
        mu_mask: mean mask value of the last step, 0 to 1; None if this attempt took no step.

    Raises:
        RunError: another run has published the version.
    """
    bounds = mask_bounds(config)
    measures = measure_network(network) if network.resolution <= LARGEST_MEASURED else []
    faults = find_faults(start.class_names, measures, bounds) if measures else []
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
        **cost.summary(),
    }
    return publish_network(
        context,
        network,
        config.model_name,
        training,
        dtype=torch.float32,
        family=start.family,
        architecture=start.architecture,
        class_names=start.class_names,
        class_ids=start.class_ids,
        resolution=start.resolution,
        latent_size=start.latent_size,
        **mask_fields(measures, bounds, network.classes),
        trained=start.trained,
        notes=notes,
        terms=start.terms,
    )


def mask_bounds(config: TrainImagenetConfig) -> MaskBounds:
    """Returns the bounds of sound masks: the interval of L_mask, widened, as L_mask holds on average only."""
    return replace(
        OBJECTS,
        lowest=round(LOWEST_MEAN_FACTOR * config.mask_lowest, 4),
        highest=round(1 - LOWEST_MEAN_FACTOR * (1 - config.mask_highest), 4),
    )
