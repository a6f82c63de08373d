"""One service as a local process: a process group, a log file, and an end that leaves nothing behind."""

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
        """folder: where it runs. stop_seconds: from SIGTERM to SIGKILL. keep_log: do not empty it first."""
        self.name = name
        self.log = log
        self._stop_seconds = stop_seconds
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab" if keep_log else "wb") as output:
            self._popen = subprocess.Popen(
                # Should we be killed without a chance to stop it, the kernel does.
                [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *command],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A session of its own: the terminal's Ctrl-C reaches only us, and we stop all in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    def end(self) -> str:
        """How it ended, such as "exit code 1" or "killed by SIGKILL"."""
        code = self._popen.wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def last_lines(self, count: int = 15) -> list[str]:
        """The end of its log."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-count:]

    def stop(self) -> None:
        """SIGTERM, time to end well, then SIGKILL to whatever is left of its group."""
        try:
            self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(self._stop_seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to its whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
