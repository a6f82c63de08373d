"""A wall clock that can be set for some processes only, where there is a C compiler to make it."""

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """The wall clock of the processes that get `environment`; right at first.

    Attributes:
        works: whether it can be set; it cannot without a C compiler.
        environment: variables of the processes whose clock it is.
    """

    def __init__(self, folder: Path) -> None:
        """folder: for its library and its file."""
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
        """Sets it wrong by so many seconds."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:  # the file that is mapped
            file.write(struct.pack("q", seconds))
