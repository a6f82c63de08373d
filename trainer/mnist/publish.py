"""Publishes a trained CGN, with the record of its training on the card."""

from collections.abc import Mapping
from typing import Any

from cgn.data import ImageSet
from cgn.families.mnist import network as mnist
from cgn.families.mnist.family import FAMILY
from cgn.families.mnist.network import MnistCGN
from trainer.mnist.collapse_report import CollapseReport, MaskCheck, summary
from trainer.mnist.config import TrainCgnConfig
from trainer.run.context import Published, RunContext
from trainer.run.cost import RunCost
from trainer.run.provenance import provenance
from trainer.run.publish import mask_fields, publish_network


def publish(
    config: TrainCgnConfig,
    context: RunContext,
    data: ImageSet,
    network: MnistCGN,
    architecture: Mapping[str, int],
    report: CollapseReport,
    check: MaskCheck,
    cost: RunCost,
) -> Published:
    """Publishes a network, and notes on its card if its masks have collapsed.

    Args:
        config: options of the run.
        context: context of the run.
        data: the training images.
        network: the averaged network, on the CPU.
        architecture: the sizes of the network, as the card stores them.
        report: the mask checks of the run.
        check: the last check of the masks.
        cost: the cost of the run.

    Raises:
        RunError: another run has published the version.
    """
    notes = list(data.provenance["notes"])
    if check.faults:
        notes.append(summary(check.faults, len(check.measures)))
    training: dict[str, Any] = {
        **provenance("train_cgn", config, context.version),
        "data": data.provenance,
        "restarts": cost.restarts,
        **cost.summary(),
    }
    return publish_network(
        context,
        network,
        config.model_name,
        training,
        family=FAMILY.name,
        architecture=dict(architecture),
        class_names=data.class_names,
        resolution=data.resolution,
        latent_size=mnist.LATENT,
        **mask_fields(check.measures, report.sound, network.classes),
        trained=True,
        notes=notes,
        terms=data.provenance["terms"],
    )
