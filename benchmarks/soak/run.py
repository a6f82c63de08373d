"""One soak run: a generator with Redis and models, clients that load it, and injected faults."""

import json
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import redis

from benchmarks.soak.growth import Memory, Slope
from benchmarks.soak.ledger import LedgerReport, check_ledgers
from cgn.card import CARD_FILE
from cgn.model import CGN
from cgn.store import checkpoint
from common.settings import REPO
from testing.generator_process import GeneratorProcess
from testing.processes import ModuleProcess, free_port, wait_for
from testing.random_model import publish_random
from testing.redis_process import CACHE_FLAGS, LocalRedis

_STEADY_MODEL = "colored_mnist"  # shipped model that is served during the whole run
_CLIENTS = 2
_ROW_CACHE_MB = 4  # small, so that the caches fill early
_REDIS_FLAGS = (*CACHE_FLAGS, "--maxmemory", "16mb")
_WARM_UP_SHARE = 1 / 3  # share of a run before the growth of memory is measured


class Run:
    """A generator with its Redis, models and clients.

    Attributes:
        models: every model that was served, by digest.
        killed_ledgers: ledgers of the clients that were killed.
        faults: number of injected faults, by name.
    """

    def __init__(self, directory: Path, module: str, seconds: float, seed: int, threads: int) -> None:
        directory.mkdir()
        self.directory = directory
        self.seconds = seconds
        self.models: dict[str, CGN] = {}
        self.killed_ledgers: set[Path] = set()
        self.faults: dict[str, int] = {}
        self._random = random.Random(seed)
        self._threads = threads
        self._versions = 0
        self._clients_started = 0
        self._root = directory / "models"
        self._add_steady_model()
        self.publish()
        self._redis_port = free_port()
        self._redis = LocalRedis(self._redis_port, directory / "redis", _REDIS_FLAGS)
        self.generator = GeneratorProcess(
            self._root, self._redis.url, module, CGN_ROW_CACHE_MB=str(_ROW_CACHE_MB)
        )
        self._clients: list[tuple[ModuleProcess, Path]] = []

    def run(self, faults: bool) -> Slope:
        """Runs the load, with or without faults. Returns the growth of memory."""
        began = time.monotonic()
        end = began + self.seconds
        with Memory(self.generator.process.pid) as memory:
            for _ in range(_CLIENTS):
                self._start_client(end)
            while time.monotonic() < end:
                assert self.generator.process.poll() is None, self.generator.log()
                time.sleep(min(self.seconds / 40, max(0.0, end - time.monotonic())))
                if faults and end - time.monotonic() > self.seconds / 20:
                    fault = self._random.choice([
                        self.kill_client, self.kill_redis, self.hang_redis, self.spoil_redis, self.publish,
                    ])  # fmt: skip
                    self.faults[fault.__name__] = self.faults.get(fault.__name__, 0) + 1
                    fault()
                    while len(self._clients) < _CLIENTS:
                        self._start_client(end)
            for client, _ in self._clients:
                client.process.wait(self.seconds + 300)
            return memory.since(began + _WARM_UP_SHARE * self.seconds)

    def check_ledgers(self) -> LedgerReport:
        """Checks the ledgers of all clients."""
        return check_ledgers(sorted(self.directory.glob("ledger-*")), self.killed_ledgers, self.models)

    def close(self) -> int:
        """Stops all processes. Returns the generator's exit status."""
        for client, _ in self._clients:
            if client.process.poll() is None:
                client.kill()
        self.generator.client.close()
        status = self.generator.stop() if self.generator.process.poll() is None else -1
        self._redis.stop()
        return status

    def kill_client(self) -> None:
        """Kills a client while it calls the generator."""
        client, ledger = self._clients.pop(self._random.randrange(len(self._clients)))
        if client.process.poll() is None:
            client.kill()
            self.killed_ledgers.add(ledger)

    def kill_redis(self) -> None:
        """Kills Redis and restarts it shortly after."""
        self._redis.process.kill()
        self._redis.process.wait()
        time.sleep(self._random.uniform(0, 2))
        self._redis = LocalRedis(self._redis_port, self.directory / "redis", _REDIS_FLAGS)

    def hang_redis(self) -> None:
        """Suspends Redis for up to 3 s."""
        self._redis.process.send_signal(signal.SIGSTOP)
        time.sleep(self._random.uniform(0.1, 3))
        self._redis.process.send_signal(signal.SIGCONT)

    def spoil_redis(self) -> None:
        """Flips one bit in up to 100 values in Redis."""
        with redis.Redis.from_url(self._redis.url) as connection:
            for _ in range(100):
                key: Any = connection.randomkey()
                if key:
                    value: Any = connection.get(key) or b"?"
                    connection.set(key, value[:-1] + bytes([value[-1] ^ 1]))

    def publish(self) -> None:
        """Publishes a version of the model "changing" and removes the version that is two older."""
        self._versions += 1
        name = f"v{self._versions}"
        publish_random(self._root, "changing", name, seed=self._versions)
        self._register("changing", name)
        if self._versions > 2:
            old = self._root / "changing" / f"v{self._versions - 2}"
            old.rename(self.directory / f"old-{old.name}")

    def _add_steady_model(self) -> None:
        (version,) = sorted((REPO / "models" / _STEADY_MODEL).iterdir())[-1:]
        target = self._root / "steady" / version.name
        shutil.copytree(version, target)
        card = json.loads((target / CARD_FILE).read_text())
        (target / CARD_FILE).write_text(json.dumps(card | {"name": "steady"}))
        self._register("steady", version.name)

    def _register(self, name: str, version: str) -> None:
        model = checkpoint.load(self._root, name, version)
        self.models[model.card.digest] = model

    def _start_client(self, end: float) -> None:
        self._clients_started += 1
        ledger = self.directory / f"ledger-{self._clients_started}.jsonl"
        ledger.touch()
        client = ModuleProcess(
            "benchmarks.soak.client",
            self.generator.address,
            str(ledger),
            *("--seed", str(1000 * self._clients_started), "--threads", str(self._threads)),
            *("--seconds", str(max(0.1, end - time.monotonic()))),
            log=self.directory / f"client-{self._clients_started}.log",
            env={},
        )
        self._clients.append((client, ledger))
        if self._clients_started <= _CLIENTS:
            wait_for("the client's first call", ledger.read_text)
