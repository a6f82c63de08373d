"""The processes of one run: in a group of their own, with their output as lines, and never left behind."""

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

_MAX_LINE = 16_384  # bytes; a longer line is split
_MAX_LINES_WAITING = 10_000  # at this number the run blocks until its supervisor has read some
_DRAIN_SECONDS = 5.0
_GUARD_SECONDS = 10.0  # for the guard to kill the run


class Line(NamedTuple):
    """A line of the run's output, without its end."""

    stream: Literal["stdout", "stderr"]
    text: str


class Child:
    """A running command. It and all processes that it starts end with this process, however that one ends."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        environment: Mapping[str, str],
        memory_mb: int = 0,
        held: Sequence[int] = (),
    ) -> None:
        """Starts `python <command>`. Raises OSError if that cannot be done.

        memory_mb: memory limit of all its processes together, in MiB; 0: no limit. Past it, the exit code is
        guard.OVER_MEMORY. held: descriptors that stay open as long as any of its processes lives.
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
        self._lines: queue.Queue[Line] = queue.Queue(_MAX_LINES_WAITING)
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
            while raw := pipe.readline(_MAX_LINE):
                self._lines.put(Line(stream, raw.decode(errors="replace").rstrip("\r\n")))

    def lines(self, seconds: float) -> list[Line]:
        """Returns the lines written since the last call. Waits up to `seconds` for the first one."""
        lines: list[Line] = []
        with contextlib.suppress(queue.Empty):
            lines.append(self._lines.get(timeout=seconds))
            while len(lines) < _MAX_LINES_WAITING:
                lines.append(self._lines.get_nowait())
        return lines

    def exit_code(self) -> int | None:
        """Returns the exit code; negative: the signal that killed it; None: it still runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Asks the command to write a checkpoint and end (SIGTERM)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kills the command and all processes that it has started."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def finish(self) -> list[Line]:
        """Kills the command if it still runs, and waits for its end. Returns its last lines."""
        self.kill()
        try:
            self._process.wait(_GUARD_SECONDS)
        except subprocess.TimeoutExpired:  # the guard itself is stopped or stuck
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        lines: list[Line] = []
        deadline = (
            time.monotonic() + _DRAIN_SECONDS
        )  # a process that outlives a killed guard may hold the pipes
        while any(reader.is_alive() for reader in self._readers) and time.monotonic() < deadline:
            lines += self.lines(0.05)
        return lines + self.lines(0)
