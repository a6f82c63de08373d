"""Servers in separate processes, and the load on them."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common.settings import REPO
from deploy.process import Process
from services.probe import probe
from testing.processes import free_port
from testing.redis_process import LocalRedis

MODEL = "wildlife_mnist"
BENCH_PYTHON = REPO / ".venv-bench" / "bin" / "python"  # has the other servers installed
_START_SECONDS, _STOP_SECONDS = 120.0, 15.0
_PLAIN_BATCH = 128  # largest batch of the other servers in images; larger batches are not faster


@dataclass(frozen=True)
class Served:
    """A running server: options of `benchmarks.load`, the server's pid, the load process's Python."""

    options: list[str]
    pid: int
    python: str = sys.executable

    def load(self, **options: Any) -> dict[str, Any]:
        """Runs the load process and returns its report."""
        command = [self.python, "-m", "benchmarks.load", *self.options]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        answer = subprocess.run(command, check=False, cwd=REPO, capture_output=True, text=True)
        if answer.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {answer.stderr[-2000:]}")
        report: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
        return report

    def images_per_second(self, **options: Any) -> float:
        """Returns images per second under closed-loop load."""
        report = self.load(**options)
        return float(report["images"] / report["seconds"])


@contextmanager
def one_model(name: str = MODEL) -> Iterator[Path]:
    """Yields a models directory with one shipped model."""
    with TemporaryDirectory(prefix="cgn-bench-") as folder:
        models = Path(folder) / "models"
        shutil.copytree(REPO / "models" / name, models / name)
        yield models


@contextmanager
def generator(
    models_dir: Path, *, cache_url: str = "none", model: str = MODEL, **settings: str
) -> Iterator[Served]:
    """Runs this project's generator until it is SERVING; by default without caches."""
    port, metrics_port = free_port(), free_port()
    environment = {
        "CGN_MODELS_DIR": str(models_dir),
        "CGN_CACHE_URL": cache_url,
        "CGN_ROW_CACHE_MB": "0",
        "CGN_GENERATOR_PORT": str(port),
        "CGN_GENERATOR_METRICS_PORT": str(metrics_port),
        "CGN_DEVICE": "cpu",
    }
    command = [sys.executable, "-m", "services.generator"]
    address = f"127.0.0.1:{port}"
    with _running("generator", command, environment | settings, models_dir.parent) as process:
        _wait(process, lambda: probe(address, 1.0) == "SERVING")
        yield Served(["--generator", address, "--model", model], process.pid)


@contextmanager
def litserve(models_dir: Path, images: int) -> Iterator[Served]:
    """Runs LitServe with plain PyTorch. images: per request."""
    port = free_port()
    max_batch = max(1, _PLAIN_BATCH // images)  # requests
    command = [
        str(BENCH_PYTHON),
        "-m",
        "benchmarks.baselines.litserve_server",
        str(port),
        str(models_dir),
        MODEL,
        str(max_batch),
    ]
    with _running("litserve", command, {}, models_dir.parent) as process:
        url = f"http://127.0.0.1:{port}"
        _wait(process, lambda: _answers(f"{url}/health"))
        yield Served(["--url", f"{url}/generate"], process.pid, str(BENCH_PYTHON))


@contextmanager
def bentoml(models_dir: Path) -> Iterator[Served]:
    """Runs BentoML with plain PyTorch."""
    port = free_port()
    environment = {
        "BENCH_MODELS_DIR": str(models_dir),
        "BENCH_MODEL": MODEL,
        "BENCH_MAX_BATCH": str(_PLAIN_BATCH),
        "BENTOML_HOME": str(models_dir.parent / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    command = [
        *[str(BENCH_PYTHON), "-m", "bentoml", "serve", "benchmarks.baselines.bentoml_server:Counterfactuals"],
        *["--host", "127.0.0.1", "--port", str(port)],
    ]
    with _running("bentoml", command, environment, models_dir.parent) as process:
        url = f"http://127.0.0.1:{port}"
        _wait(process, lambda: _answers(f"{url}/readyz"))
        yield Served(["--url", f"{url}/generate"], process.pid, str(BENCH_PYTHON))


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Runs a Redis for the row cache; yields its URL."""
    flags = ["--appendonly", "no", "--maxmemory", "512mb", "--maxmemory-policy", "allkeys-lru"]
    with LocalRedis(free_port(), folder, flags) as server:
        yield server.url


@contextmanager
def _running(name: str, command: list[str], environment: dict[str, str], folder: Path) -> Iterator[Process]:
    log = folder / f"{name}-{time.monotonic_ns()}.log"
    process = Process(name, command, os.environ | environment, REPO, log, _STOP_SECONDS)
    try:
        yield process
    finally:
        process.stop()


def _wait(process: Process, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if process.exit_code() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.name} did not start: " + "\n".join(process.last_lines()))
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
