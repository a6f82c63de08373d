"""A model that several cells need: the first of them makes it, the others wait for it."""

import time
from collections.abc import Callable

from cgn.card import CARD_FILE, ModelCard
from cgn.store import versions
from trainer.reproduce.cell.locks import alone_in
from trainer.run.context import RunContext, Stopped

_SECONDS_BETWEEN_LOOKS = 1.0  # at a model that another process makes


def shared_model(context: RunContext, name: str, version: str, make: Callable[[], object]) -> ModelCard:
    """The card of a version, which is made now if it is not there.

    Cells may be jobs on several workers: one process makes the version, the others wait until it is there,
    or until the one is gone and one of them takes its place.

    Args:
        context: of the cell.
        name: the model's.
        version: of the model.
        make: publishes it.

    Raises:
        Stopped: asked to stop while it waited; and whatever ``make`` raises.
    """
    folder = context.models_dir / name
    there = folder / version / CARD_FILE
    while not there.is_file():
        with alone_in(folder) as alone:
            if alone and not there.is_file():
                make()
        if not alone:
            if context.stop.requested:
                raise Stopped
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    return versions.read_card(context.models_dir, name, version)
