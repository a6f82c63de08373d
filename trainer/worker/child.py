"""The processes of one run: in a group of their own, read line by line, never left behind."""

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

from trainer.worker import guard

_LONGEST_LINE = 16_384  # bytes; a longer one comes in pieces
_MOST_LINES_WAITING = 10_000  # then the run waits for its supervisor
_DRAIN_SECONDS = 5.0
_GUARD_SECONDS = 10.0  # to kill what it guards


class Line(NamedTuple):
    """A line of the run's output, without its end."""

    stream: Literal["stdout", "stderr"]
    text: str


class Child:
    """A running command. It ends with this process, whatever ends that, and so does all it has started."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        memory_mb: int = 0,
        held: Sequence[int] = (),
    ) -> None:
        """Starts `python <command>`. Raises OSError if that cannot be done.

        memory_mb: what its processes may have together, in MiB, or the exit code is guard.OVER_MEMORY; 0: no
        limit. held: descriptors that stay open for as long as anything of it lives.
        """
        # -S -I: the guard needs only the standard library and common.launch, and starts faster this way.
        guarded = [sys.executable, "-S", "-I", guard.__file__, str(memory_mb), sys.executable, *command]
        lifeline, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                guarded,
                cwd=cwd,
                env=dict(environment),
                stdin=lifeline,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=held,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(lifeline)
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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Ends it and all that it has started, at once."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def finish(self) -> list[Line]:
        """Ends it if it still runs, waits for it, and returns what it wrote last."""
        self.kill()
        try:
            self._process.wait(_GUARD_SECONDS)
        except subprocess.TimeoutExpired:  # the guard itself is stopped or stuck
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        found: list[Line] = []
        deadline = time.monotonic() + _DRAIN_SECONDS  # what outlives even a killed guard may hold the pipes
        while any(reader.is_alive() for reader in self._readers) and time.monotonic() < deadline:
            found += self.lines(0.05)
        return found + self.lines(0)
