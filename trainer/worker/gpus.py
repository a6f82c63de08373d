"""The GPUs of a machine as slots: one run at a time has one, whichever worker the run is of.

A slot is a file that is locked. The lock is handed to the run's guard, so it lasts as long as anything of the
run lives, also should its worker be killed, and no longer.
"""

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

_FOLDER = Path(tempfile.gettempdir()) / "cgn-gpus"  # of the machine, not of a worker


class Slots:
    """Slots that this process holds.

    Attributes:
        devices: their GPUs, as CUDA_VISIBLE_DEVICES names them.
        locks: descriptors that hold them, in the same order.
    """

    def __init__(self) -> None:
        self.devices: list[str] = []
        self.locks: list[int] = []

    def keep(self, count: int) -> None:
        """Gives back all but the first so many."""
        for lock in self.locks[count:]:
            os.close(lock)
        del self.locks[count:], self.devices[count:]


def offered(count: int, visible: str | None) -> list[str]:
    """The GPUs that a worker offers: the first ``count`` of those that CUDA_VISIBLE_DEVICES leaves it."""
    devices = [str(index) for index in range(count)] if visible is None else visible.split(",")
    return [device.strip() for device in devices if device.strip()][:count]


@contextlib.contextmanager
def free_slots(devices: list[str], folder: Path = _FOLDER) -> Iterator[Slots]:
    """All slots of the devices that nobody holds, until the end of the context."""
    slots = Slots()
    try:
        for device in devices:
            lock = _open(folder, re.sub(r"[^\w-]", "_", device))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                slots.devices.append(device)
                slots.locks.append(lock)
        yield slots
    finally:
        slots.keep(0)


def _open(folder: Path, name: str) -> int:
    """The file of a slot, whoever's worker has made it."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    try:
        return os.open(folder / name, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(folder / name, os.O_RDONLY | os.O_CREAT, 0o644)
