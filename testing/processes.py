"""What tests of real processes need: free ports, waiting, and processes that never outlive their test."""

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
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Waits until the condition gives something true, and gives that; the limit only ends a hanging test."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return found


def alive(pid: int) -> bool:
    """Whether a process of this id runs; a zombie does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


class ModuleProcess:
    """`python -m MODULE ARGUMENTS...` with its output in a file; killed at the end of `with` if need be."""

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
        def said() -> bool:
            assert self.process.poll() is None, self.log()
            return text in self.log()

        wait_for(f"{text!r} in the log", said)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Stops it as an operator does, and gives its exit status."""
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
