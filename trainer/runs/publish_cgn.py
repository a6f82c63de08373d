"""Publishes a trained CGN with the card that says how it came to be."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from cgn import checkpoint
from cgn.collapse import class_bounds
from cgn.data import ImageSet
from cgn.mechanisms import mnist
from cgn.mechanisms.mnist import MnistCGN
from trainer.runs.account import Account
from trainer.runs.collapse_report import CollapseReport, Look, summary
from trainer.runs.command import Published, Surroundings
from trainer.runs.provenance import provenance
from trainer.runs.publish_once import publish_once
from trainer.runs.train_cgn_config import TrainCgnConfig


def publish(
    config: TrainCgnConfig,
    surroundings: Surroundings,
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
        **provenance("train_cgn", config, surroundings.version),
        "data": data.provenance,
        "restarts": account.restarts,
        "seconds": round(account.seconds, 1),
        "cpu_seconds": round(account.cpu_seconds, 1),
        "resumed_at_step": account.resumed_at_step,
    }
    make = partial(
        checkpoint.publish,
        surroundings.models_dir,
        network,
        only_while=surroundings.run_dir,
        attempt=surroundings.attempt,
        name=config.model_name,
        version=surroundings.version,
        family="mnist",
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
    return publish_once(surroundings, config.model_name, training, make)
