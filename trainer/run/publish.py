"""The last step of a run that trains a model: publishes the version once, even if the run is resumed."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from cgn.card import MaskBounds
from cgn.metrics.collapse import MaskMeasures, class_bounds
from cgn.store import checkpoint
from cgn.store.versions import VersionExists, read_card
from trainer.run.context import Published, RunContext, RunError


def publish_network(
    context: RunContext, network: nn.Module, name: str, training: Mapping[str, Any], **card_fields: Any
) -> Published:
    """Publishes the network that a run has trained; see `publish_once` and `cgn.store.checkpoint.publish`.

    Args:
        context: context of the run; states the version.
        network: the network to publish.
        name: name of the model.
        training: the card's record of the training.
        **card_fields: the other arguments of `cgn.store.checkpoint.publish`.

    Raises:
        RunError: another run has published the version.
    """
    publish = partial(
        checkpoint.publish,
        context.models_dir,
        network,
        only_while=context.run_dir,
        attempt=context.attempt,
        name=name,
        version=context.version,
        training=training,
        **card_fields,
    )
    return publish_once(context, name, training, publish)


def publish_once(
    context: RunContext, name: str, training: Mapping[str, Any], publish: Callable[[], object]
) -> Published:
    """Publishes the model of a run, unless an earlier attempt of the run has done so. Reports the model.

    Args:
        context: context of the run; states the version.
        name: name of the model.
        training: the card's record of the training. The entry "config" identifies the run.
        publish: publishes the version; raises VersionExists if it exists.

    Raises:
        RunError: another run has published the version.
    """
    root, version = context.models_dir, context.version
    try:
        publish()
    except VersionExists as error:
        # An earlier attempt may have been killed between publishing and reporting success.
        if not context.resume or read_card(root, name, version).training.get("config") != training["config"]:
            raise RunError(str(error)) from None
    context.reporter.artefact("model", root / name / version)
    return Published(name, version)


def mask_fields(measures: Sequence[MaskMeasures], bounds: MaskBounds, classes: int) -> dict[str, Any]:
    """Returns the card fields about masks.

    Args:
        measures: measures of the masks of each class; empty if the masks were not measured.
        bounds: bounds of sound masks.
        classes: number of classes.
    """
    return {
        "mask_bounds": [class_bounds(m, bounds) for m in measures] or [bounds] * classes,
        "mask_mean": [m.mean for m in measures],
        "mask_border": [m.border for m in measures],
        "mask_soft": [m.soft for m in measures],
    }
