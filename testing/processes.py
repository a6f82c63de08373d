"""Helpers for real processes: free ports, waiting, and processes that end with their `with` block."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from common.settings import REPO


def free_port() -> int:
    """Returns a free port of 127.0.0.1."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Waits until the condition is true and returns its value. After `seconds`, AssertionError: it hangs."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return value


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


class ModuleProcess:
    """`python -m MODULE ARGUMENTS...`, with its output in a file; killed at the end of `with`."""

    def __init__(self, module: str, *arguments: str, log: Path, env: dict[str, str]) -> None:
        self.env = env
        self._log_path = log
        with log.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=REPO,
                env=os.environ | env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def log(self) -> str:
        return self._log_path.read_text()

    def wait_for_log(self, text: str) -> None:
        def logged() -> bool:
            assert self.process.poll() is None, self.log()
            return text in self.log()

        wait_for(f"{text!r} in the log", logged)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit status."""
        self.process.send_signal(signum)
        return self.process.wait(40)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
