"""One process at a time: a folder that is locked for as long as its owner lives."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"  # file in the folder


@contextmanager
def alone_in(folder: Path) -> Iterator[bool]:
    """Whether this process has the folder, which is made if need be, to itself until the block ends.

    The lock goes with the process, whatever ends it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
