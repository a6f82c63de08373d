"""A redis-server process, with the flags of docker-compose.yml."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from common.local_redis import redis_server
from common.redis import client
from deploy.compose import read_stack

_START_SECONDS = 15.0
_STOP_SECONDS = 10.0
_OWN_FLAGS = {"--bind", "--protected-mode", "--port", "--loglevel", "--dir"}  # specific to containers


def _flags(name: str) -> tuple[str, ...]:
    """Returns the flags of a Redis service of the compose file, without those specific to containers."""
    (service,) = [service for service in read_stack({}).services if service.name == name]
    words = service.command[1:]
    pairs = zip(words[::2], words[1::2], strict=True)
    return tuple(word for pair in pairs if pair[0] not in _OWN_FLAGS for word in pair)


JOBS_FLAGS = _flags("redis-jobs")
CACHE_FLAGS = _flags("redis-cache")


class LocalRedis:
    """A redis-server process on 127.0.0.1; stop() or the end of `with` stops it."""

    def __init__(self, port: int, directory: Path, flags: Sequence[str] = ()) -> None:
        """directory: for data and log, created if necessary. flags: JOBS_FLAGS, CACHE_FLAGS or others.

        Raises RuntimeError with the last line of the log if the server does not answer.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.url = f"redis://127.0.0.1:{port}/0"
        self._log = directory / "redis.log"
        address = ["--port", str(port), "--bind", "127.0.0.1"]
        files = ["--dir", str(directory), "--logfile", str(self._log), "--save", ""]
        self.process = subprocess.Popen(
            [redis_server(), *address, *files, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        with client(self.url) as connection:
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    # Another server may listen on this port and answer instead.
                    if connection.info("server")["process_id"] == self.process.pid:
                        return
                except redis.RedisError:
                    pass
                time.sleep(0.02)
        self.stop()
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        raise RuntimeError(f"redis-server did not start at {self.url}: {lines[-1] if lines else 'no log'}")

    def stop(self) -> None:
        """Stops the server and waits until it has ended."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
