"""A service as a local process: a process group, a log file, and a stop that leaves no process behind."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import launch

_TAIL_BYTES = 8192


class Process:
    """A started process. Its output goes to `log`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        stop_seconds: float,
        *,
        keep_log: bool = False,
    ) -> None:
        """folder: working directory. stop_seconds: from SIGTERM to SIGKILL. keep_log: append to the log."""
        self.name = name
        self.log = log
        self._stop_seconds = stop_seconds
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab" if keep_log else "wb") as output:
            self._popen = subprocess.Popen(
                # The kernel kills the process if this one is killed before it can stop it.
                [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *command],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Own session: Ctrl-C reaches only this process, which then stops all services in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def exit_code(self) -> int | None:
        """Returns the exit code; None while the process runs; -N if signal N ended it."""
        return self._popen.poll()

    def end(self) -> str:
        """Describes how the process ended, such as "exit code 1" or "killed by SIGKILL"."""
        code = self._popen.wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def last_lines(self, count: int = 15) -> list[str]:
        """Returns the last lines of the log."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-count:]

    def stop(self) -> None:
        """Sends SIGTERM, waits up to stop_seconds, then sends SIGKILL to the rest of the process group."""
        try:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(self._stop_seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """Sends SIGKILL to the process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
