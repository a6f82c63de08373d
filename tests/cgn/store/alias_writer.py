"""A process that moves an alias many times. It imports no torch, so that it starts at once."""

import contextlib
from pathlib import Path

from cgn.store import aliases
from cgn.store.aliases import StaleToken


def move_many(root: Path, first: int) -> None:
    """Moves the alias stable of model tiny with every fourth token below 100, from the first one on."""
    for token in range(first, 100, 4):
        with contextlib.suppress(StaleToken):
            aliases.move(root, "tiny", "stable", f"v{1 + token % 3}", token=token)
