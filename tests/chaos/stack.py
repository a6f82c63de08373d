"""Redis, the trainer service and two workers as processes that can be killed and started again."""

import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import grpc
import redis

from cgn_api.v1 import trainer_pb2_grpc as pb_grpc
from common.local_redis import redis_server
from common.redis import client
from common.settings import REPO
from deploy.process import Process
from services.probe import probe
from testing.processes import alive, free_port
from testing.redis_process import JOBS_FLAGS
from tests.chaos.clock import Clock

WORKERS = ("worker-0", "worker-1")
SERVICES = ("redis", "trainer", *WORKERS)
PATIENCE_SECONDS = 600.0  # until a wait counts as hanging: machines may be slow


class Stuck(Exception):
    """An expected event did not happen in time."""


def wait_until(what: str, condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Waits until the condition returns a true value, and returns that value. Raises Stuck."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Stuck(f"waited {seconds:g} s for {what}")
        time.sleep(0.1)
    return value


class Stack:
    """Redis, the trainer service and two workers, which run within the context.

    Attributes:
        stub: of the trainer service.
        runs_dir, models_dir: folders of the jobs' files and models.
        clock: the wall clock of all processes.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.runs_dir, self.models_dir = folder / "runs", folder / "models"
        self.clock = Clock(folder)
        self._mark = f"CGN_CHAOS={uuid.uuid4()}"
        self._redis_port, trainer_port = free_port(), free_port()
        self.jobs_url = f"redis://127.0.0.1:{self._redis_port}/0"
        name, _, value = self._mark.partition("=")
        self._environment = {
            **os.environ,
            **self.clock.environment,
            name: value,
            "CGN_JOBS_URL": self.jobs_url,
            "CGN_TRAINER_PORT": str(trainer_port),
            "CGN_TRAINER_METRICS_PORT": str(free_port()),
            "CGN_RUNS_DIR": str(self.runs_dir),
            "CGN_MODELS_DIR": str(self.models_dir),
            "CGN_DATA_DIR": "",
        }
        self._metrics_ports = {worker: str(free_port()) for worker in WORKERS}
        self._processes: dict[str, Process] = {}
        self.redis = client(self.jobs_url)
        self.address = f"127.0.0.1:{trainer_port}"
        quick = [("grpc.max_reconnect_backoff_ms", 500)]  # to a service that was killed and started again
        self._channel = grpc.insecure_channel(self.address, options=quick)
        self.stub = pb_grpc.TrainerServiceStub(self._channel)

    def __enter__(self) -> Self:
        for name in SERVICES:
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self.redis.close()
        for name in reversed(SERVICES):
            if name in self._processes:
                with suppress(ProcessLookupError):  # a stopped process cannot end
                    os.kill(self.pid(name), signal.SIGCONT)
                self._processes[name].stop()

    def start(self, name: str) -> None:
        """Starts a service and waits until it serves. Does not wait for a worker."""
        environment = dict(self._environment)
        if name == "redis":
            folder = self._folder / "redis"
            folder.mkdir(exist_ok=True)
            address = ["--port", str(self._redis_port), "--bind", "127.0.0.1"]
            command = [redis_server(), *address, "--dir", str(folder), "--save", "", *JOBS_FLAGS]
        elif name == "trainer":
            command = [sys.executable, "-m", "services.trainer"]
        else:
            command = [sys.executable, "-m", "tests.chaos.worker"]
            environment["CGN_WORKER_METRICS_PORT"] = self._metrics_ports[name]
        log = self._folder / "log" / f"{name}.log"
        self._processes[name] = Process(name, command, environment, REPO, log, 60.0, keep_log=True)
        if name == "redis":
            wait_until("Redis", self._redis_answers)
        elif name == "trainer":
            wait_until("the trainer service", lambda: probe(self.address, 1.0) == "SERVING")

    def _redis_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def exit_code(self, name: str) -> int | None:
        """Returns the exit code; negative: the signal that ended it; None: it still runs."""
        return self._processes[name].exit_code()

    def kill(self, name: str) -> None:
        """Kills only the service's process, with signal 9."""
        os.kill(self.pid(name), signal.SIGKILL)
        wait_until(f"{name} to be gone", lambda: self.exit_code(name) is not None)

    def record(self, job_id: str) -> dict[str, str]:
        """Returns the job's record in Redis; empty while Redis is away."""
        try:
            record: Any = self.redis.hgetall(f"cgn:job:{job_id}")
        except redis.RedisError:
            return {}
        return dict(record)

    def step(self, job_id: str) -> int:
        """Returns the last step that the job reported; -1 before it runs, and while Redis is away."""
        record = self.record(job_id)
        progress: dict[str, int] = json.loads(record.get("progress", "null")) or {"step": 0}
        return progress["step"] if record.get("start_time") else -1

    def holder(self, job_id: str) -> str | None:
        """Returns the worker that runs the job or ran it last; None if that worker does not exist now."""
        pid = self.record(job_id).get("worker", "").rpartition(":")[2]
        names = [name for name in WORKERS if str(self.pid(name)) == pid]
        return names[0] if names else None

    def runs_of(self, worker: str) -> list[int]:
        """Returns the processes of a worker's run, its guard first."""
        children, pids = _children(), [self.pid(worker)]
        for pid in pids:
            pids += children.get(pid, [])
        return pids[1:]

    def strangers(self) -> list[int]:
        """Returns orphans: processes with this stack's environment that do not descend from its services."""
        children, known = _children(), [process.pid for process in self._processes.values()]
        for pid in known:
            known += children.get(pid, [])
        return [pid for pid in _marked(self._mark) if pid not in known and alive(pid)]


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(
                int(path.parts[2])
            )
    return children


def _marked(mark: str) -> list[int]:
    pids = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark.encode() in path.read_bytes().split(b"\0"):
                pids.append(int(path.parts[2]))
    return pids
