"""Publishes a trained CGN with the card that says how it came to be."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from cgn.data import ImageSet
from cgn.families.mnist import network as mnist
from cgn.families.mnist.family import FAMILY
from cgn.families.mnist.network import MnistCGN
from cgn.metrics.collapse import class_bounds
from cgn.store import checkpoint
from trainer.mnist.collapse_report import CollapseReport, Look, summary
from trainer.mnist.config import TrainCgnConfig
from trainer.run.context import Published, RunContext
from trainer.run.cost import Account
from trainer.run.provenance import provenance
from trainer.run.publish import publish_once


def publish(
    config: TrainCgnConfig,
    context: RunContext,
    data: ImageSet,
    network: MnistCGN,
    architecture: Mapping[str, int],
    report: CollapseReport,
    look: Look,
    account: Account,
) -> Published:
    """Publishes a network, on the CPU, whose masks were last looked at with the given result.

    Raises:
        RunError: the version exists, and is not this run's.
    """
    notes = list(data.provenance["notes"])
    if look.faults:
        notes.append(summary(look.faults, len(look.measures)))
    training: dict[str, Any] = {
        **provenance("train_cgn", config, context.version),
        "data": data.provenance,
        "restarts": account.restarts,
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
        name=config.model_name,
        version=context.version,
        family=FAMILY.name,
        architecture=dict(architecture),
        class_names=data.class_names,
        resolution=data.resolution,
        latent_size=mnist.LATENT,
        mask_bounds=[class_bounds(found, report.sound) for found in look.measures],
        mask_mean=[found.mean for found in look.measures],
        mask_border=[found.border for found in look.measures],
        mask_soft=[found.soft for found in look.measures],
        trained=True,
        training=training,
        notes=notes,
        terms=data.provenance["terms"],
    )
    return publish_once(context, config.model_name, training, make)
