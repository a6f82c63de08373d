"""The process of one run: started in a group of its own, read line by line, never left behind."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Literal, NamedTuple

from common import launch

_LONGEST_LINE = 16_384  # bytes; a longer one comes in pieces
_MOST_LINES_WAITING = 10_000  # then the run waits for its supervisor
_DRAIN_SECONDS = 5.0


class Line(NamedTuple):
    """A line of the run's output, without its end."""

    stream: Literal["stdout", "stderr"]
    text: str


class Child:
    """A running command. It dies with this process, whatever ends this process."""

    def __init__(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        """Starts `python <command>`. Raises OSError if that cannot be done."""
        # -S -I: launch.py needs nothing but the standard library, and is to be quick.
        launcher = [sys.executable, "-S", "-I", launch.__file__, str(os.getpid())]
        self._process = subprocess.Popen(
            [*launcher, sys.executable, *command],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._lines: queue.Queue[Line] = queue.Queue(_MOST_LINES_WAITING)
        assert self._process.stdout
        assert self._process.stderr
        self._readers = [
            threading.Thread(target=self._read, args=("stdout", self._process.stdout), daemon=True),
            threading.Thread(target=self._read, args=("stderr", self._process.stderr), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Literal["stdout", "stderr"], pipe: IO[bytes]) -> None:
        with pipe:
            while raw := pipe.readline(_LONGEST_LINE):
                self._lines.put(Line(stream, raw.decode(errors="replace").rstrip("\r\n")))

    def lines(self, seconds: float) -> list[Line]:
        """What it has written since the last call; waits up to `seconds` for the first line."""
        found: list[Line] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._lines.get(timeout=seconds))
            while len(found) < _MOST_LINES_WAITING:
                found.append(self._lines.get_nowait())
        return found

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that killed it."""
        return self._process.poll()

    def stop(self) -> None:
        """Asks it to write a checkpoint and leave (SIGTERM)."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it and all that it has started (SIGKILL)."""
        self._signal(signal.SIGKILL)

    def _signal(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signum)

    def finish(self) -> list[Line]:
        """Ends it if it still runs, waits for it, and returns what it wrote last."""
        self.kill()  # also what it may have started and left running
        self._process.wait()
        found: list[Line] = []
        deadline = time.monotonic() + _DRAIN_SECONDS  # a process that left the group may hold the pipes
        while any(reader.is_alive() for reader in self._readers) and time.monotonic() < deadline:
            found += self.lines(0.05)
        return found + self.lines(0)
