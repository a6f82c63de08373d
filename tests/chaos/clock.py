"""A wall clock that can be set for some processes only. It needs a C compiler."""

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """The wall clock of the processes that get `environment`. It is right at first.

    Attributes:
        works: whether it can be set: whether there is a C compiler.
        environment: variables for the processes that use this clock.
    """

    def __init__(self, folder: Path) -> None:
        """folder: where its library and its file are written."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        self.works = compiler is not None
        self.environment: dict[str, str] = {}
        self._file = folder / "clock"
        self.set(0)
        if compiler:
            library = folder / "clock.so"
            command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"]
            subprocess.run(command, check=True)
            self.environment = {"LD_PRELOAD": str(library), "CGN_CHAOS_CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """Sets the clock to be wrong by this many seconds."""
        with self._file.open(
            "r+b" if self._file.exists() else "wb"
        ) as file:  # the processes have mapped this file
            file.write(struct.pack("q", seconds))
