"""A model that several cells need. The first cell makes it; the others wait."""

import time
from collections.abc import Callable

from cgn.card import CARD_FILE, ModelCard
from cgn.store import versions
from trainer.reproduce.cell.locks import alone_in
from trainer.run.context import RunContext, Stopped

_POLL_SECONDS = 1.0  # while another process makes the model


def shared_model(context: RunContext, name: str, version: str, make: Callable[[], object]) -> ModelCard:
    """Returns the card of a version, and makes the version if it is missing.

    Cells may be jobs on several workers. One process makes the version; the others wait until the version
    exists. If that process dies, one of the others makes the version.

    Args:
        context: of the cell's run.
        name: name of the model.
        version: version of the model.
        make: publishes the version.

    Raises:
        Stopped: a stop was requested during the wait. Exceptions of ``make`` pass through.
    """
    folder = context.models_dir / name
    card_path = folder / version / CARD_FILE
    while not card_path.is_file():
        with alone_in(folder) as alone:
            if alone and not card_path.is_file():
                make()
        if not alone:
            if context.stop.requested:
                raise Stopped
            time.sleep(_POLL_SECONDS)
    return versions.read_card(context.models_dir, name, version)
