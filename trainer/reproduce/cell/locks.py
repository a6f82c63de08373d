"""Locks a folder for one process, until the block ends or the process dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"  # file in the folder


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Yields whether this process holds the lock of a folder until the block ends.

    Creates the folder if it is missing. The system releases the lock when the process ends for any reason.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
