"""The GPUs of a machine as slots: one run at a time holds a slot, over all workers of the machine.

A slot is a locked file. The run's guard inherits the lock. So the lock lasts exactly as long as any process
of the run lives, even if the worker is killed.
"""

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

_FOLDER = Path(tempfile.gettempdir()) / "cgn-gpus"  # shared by all workers of the machine


class Slots:
    """The slots that this process holds.

    Attributes:
        devices: the GPUs, by the names that CUDA_VISIBLE_DEVICES uses.
        locks: descriptors of the locked files, in the same order.
    """

    def __init__(self) -> None:
        self.devices: list[str] = []
        self.locks: list[int] = []

    def keep(self, count: int) -> None:
        """Releases all slots but the first `count`."""
        for lock in self.locks[count:]:
            os.close(lock)
        del self.locks[count:], self.devices[count:]


def offered(count: int, visible: str | None) -> list[str]:
    """Returns the GPUs that a worker offers: the first `count` GPUs.

    visible: the value of CUDA_VISIBLE_DEVICES, which limits the choice; None: not set.
    """
    devices = [str(index) for index in range(count)] if visible is None else visible.split(",")
    return [device.strip() for device in devices if device.strip()][:count]


@contextlib.contextmanager
def free_slots(devices: list[str], folder: Path = _FOLDER) -> Iterator[Slots]:
    """Yields all free slots of the devices, and holds them until the end of the context."""
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
    """Opens the file of a slot, and creates it if no worker has done so. Returns its descriptor."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    try:
        return os.open(folder / name, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(folder / name, os.O_RDONLY | os.O_CREAT, 0o644)
