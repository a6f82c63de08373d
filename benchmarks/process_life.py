"""The generator as a process: start time, health checks under heavy load, growth of memory."""

import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from scipy import stats

from benchmarks import imagenet_serving, servers
from benchmarks.results import Result, at_most
from benchmarks.sizes import Sizes
from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub

START_GOAL = 2.0  # times `import torch, grpc`
HEALTH_GOAL = 100.0  # ms
CACHE_MB = 8  # small, so that it fills early
_BLOCKS = 24  # of the observed time; each block's mean is one point
_HEALTH_EVERY = 0.05  # seconds


def start(sizes: Sizes) -> list[Result]:
    """Row 8: seconds from the start of the process to SERVING."""
    ours, imports = [], []
    with servers.one_model() as models:
        for _ in range(sizes.starts):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import torch, grpc"], check=True)
            imports.append(time.perf_counter() - began)
            began = time.perf_counter()
            with servers.generator(models):
                ours.append(time.perf_counter() - began)
    mine, baseline = statistics.median(ours), statistics.median(imports)
    what = "start of the generator to SERVING, an MNIST model on disk, beside `import torch, grpc`"
    return [
        Result(
            "8", what, round(mine, 2), "s", round(baseline, 2), round(baseline / mine, 3),
            f"value <= {START_GOAL:g}x the baseline", mine <= START_GOAL * baseline,
        )
    ]  # fmt: skip


def health(sizes: Sizes) -> list[Result]:
    """Row 9: latency of a health check while composites of 256 pixels are computed."""
    with TemporaryDirectory(prefix="cgn-bench-") as folder:
        models = Path(folder) / "models"
        imagenet_serving.publish_random(models, ch=None if sizes.full_width else 8)
        with servers.generator(models, model=imagenet_serving.NAME) as server:
            milliseconds, images = _checks_beside_work(server.options[1], sizes.health_seconds)
    assert images > 0  # else there was no load
    p99 = float(np.percentile(milliseconds, 99))
    what = f"health check while batches of 256 px run, p99 of {len(milliseconds)}"
    return [at_most("9", what, "ms", p99, HEALTH_GOAL)]


def _checks_beside_work(address: str, seconds: float) -> tuple[list[float], int]:
    """Returns milliseconds of each health check, and the images computed meanwhile."""
    done, images = threading.Event(), 0

    def work() -> None:
        nonlocal images
        with grpc.insecure_channel(address) as channel:
            stub = GeneratorServiceStub(channel)
            while not done.is_set():
                request = pb.GenerateRequest(
                    model=imagenet_serving.NAME,
                    outputs=[pb.OUTPUT_COMPOSITE],
                    encoding=pb.ENCODING_RAW_UINT8,
                )
                for _ in range(2):
                    factor = pb.Factor(label_index=0)
                    request.composites.add(shape=factor, texture=factor, background=factor)
                images += len(stub.Generate(request).results)

    worker = threading.Thread(target=work)
    worker.start()
    milliseconds = []
    try:
        with grpc.insecure_channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            end = time.monotonic() + seconds
            while time.monotonic() < end or not images:
                began = time.perf_counter()
                stub.Check(health_pb2.HealthCheckRequest(), timeout=60)
                milliseconds.append(1000 * (time.perf_counter() - began))
                time.sleep(_HEALTH_EVERY)
    finally:
        done.set()
        worker.join()
    return milliseconds, images


def memory(sizes: Sizes) -> list[Result]:
    """Row 10: growth of the process's memory once its cache is full."""
    settings = {"CGN_ROW_CACHE_MB": str(CACHE_MB)}
    with servers.one_model() as models, servers.generator(models, **settings) as server:
        server.load(seed=0, seconds=sizes.memory_seconds / 4, warm_up=0)  # fills the cache
        load = threading.Thread(
            target=server.load, kwargs={"seed": 1, "seconds": sizes.memory_seconds + 5, "warm_up": 0}
        )
        load.start()
        began, samples = time.monotonic(), []
        while (at := time.monotonic() - began) < sizes.memory_seconds:
            samples.append((at, _resident_mib(server.pid)))
            time.sleep(0.05)
        load.join()
    slope, margin = slope_with_interval(samples)
    low, high = slope - margin, slope + margin
    what = f"growth of memory under fresh load with full caches; 95 % interval {low:.2g} to {high:.2g}"
    return [
        Result(
            "10", what, float(f"{slope:.3g}"), "MiB/min", None, None, "interval contains 0", low <= 0 <= high
        )
    ]


def slope_with_interval(samples: list[tuple[float, float]]) -> tuple[float, float]:
    """Returns the growth per minute of (seconds, value) samples, and the half width of its 95 % interval.

    Consecutive samples are correlated, so the line is fitted to means of blocks.
    """
    blocks = np.array_split(np.array(samples), _BLOCKS)
    times, values = np.array([block.mean(axis=0) for block in blocks]).T
    if np.ptp(values) == 0:
        return 0.0, 0.0
    line = stats.linregress(times / 60, values)
    return float(line.slope), float(stats.t.ppf(0.975, _BLOCKS - 2) * line.stderr)


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
