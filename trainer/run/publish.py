"""The last step of a run that makes a model: its version is published by one of the run's attempts."""

from collections.abc import Callable, Mapping
from typing import Any

from cgn.store.versions import VersionExists, read_card
from trainer.run.context import Published, RunContext, RunError


def publish_once(
    context: RunContext, name: str, training: Mapping[str, Any], publish: Callable[[], object]
) -> Published:
    """Publishes a run's model, and says so, unless an earlier attempt of the run has published it.

    Args:
        context: of the run; theirs is the version.
        name: the model's.
        training: what the card says of it; by its "config" the run knows its own.
        publish: does it; raises VersionExists where the version is there already.

    Raises:
        RunError: the version exists, and is not this run's.
    """
    root, version = context.models_dir, context.version
    try:
        publish()
    except VersionExists as error:
        # A run that was killed between publishing and saying so has nothing left to do.
        if not context.resume or read_card(root, name, version).training.get("config") != training["config"]:
            raise RunError(str(error)) from None
    context.reporter.artefact("model", root / name / version)
    return Published(name, version)
