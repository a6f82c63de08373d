"""The generator under closed-loop load: beside the engine in process, its caches, and other servers."""

import itertools
import statistics
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import servers
from benchmarks.contender import Contender
from benchmarks.in_process import engine_work
from benchmarks.results import Result, faster, reported
from benchmarks.servers import Served
from benchmarks.sizes import Sizes

Kind = TypeVar("Kind")

EFFICIENCY_GOAL = 0.85
FRESH_GOAL, REPEATS_GOAL = 3.0, 20.0
MEMORY_GOAL, REDIS_GOAL = 20.0, 5.0
COLD_MEMORY_GOAL, COLD_REDIS_GOAL = 0.97, 0.85  # of the rate without caches: at most 3 % and 15 % slower


class Turns:
    """Load in alternating turns. Each turn has a new seed, so that "fresh" requests never repeat rows."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes, self._seed = sizes, 0
        self.failed: Counter[int] = Counter()  # failed requests by server pid

    def load(self, server: Served, **options: Any) -> dict[str, Any]:
        """Runs one turn of load and returns its report."""
        self._seed += 1
        timing = {"warm_up": self._sizes.warm_up_seconds, "seconds": self._sizes.load_seconds}
        report = server.load(seed=self._seed, **timing, **options)
        self.failed[server.pid] += report["failed"]
        return report

    def medians(self, kinds: dict[Kind, Callable[[], float]]) -> dict[Kind, float]:
        """Returns the median of each measure; the measures alternate."""
        values: dict[Kind, list[float]] = {name: [] for name in kinds}
        for _ in range(self._sizes.rounds):
            for name, measure in kinds.items():
                values[name].append(measure())
        return {name: statistics.median(each) for name, each in values.items()}

    def rate(self, server: Served, **options: Any) -> Callable[[], float]:
        """Returns a function that measures images per second under a load."""

        def measure() -> float:
            report = self.load(server, **options)
            return float(report["images"] / report["seconds"])

        return measure


def efficiency(sizes: Sizes) -> list[Result]:
    """Row 4: speed over gRPC beside the engine's speed in process."""
    turns, turn = Turns(sizes), itertools.count()

    def in_process(engine: Contender) -> float:
        images, seconds = 0, 0.0
        while seconds < sizes.load_seconds:
            seconds += engine.seconds("fresh", next(turn))
            images += sizes.images
        return images / seconds

    with (
        servers.one_model() as models,
        servers.generator(models) as server,
        Contender(engine_work, sizes.images, "float32") as engine,
    ):
        in_process(engine)  # warms up
        rates = turns.medians(
            {
                "engine": partial(in_process, engine),
                "raw": turns.rate(server),
                "png": turns.rate(server, encoding="png"),
                "single": turns.rate(server, images=1),
            }
        )
    base = rates["engine"]
    encodings = {
        "raw": ("64 raw images per request", EFFICIENCY_GOAL),
        "png": ("64 PNG images per request", None),
        "single": ("one raw image per request", None),
    }
    return [
        faster(
            f"4/{kind}", f"fresh, {what}, beside the engine in process", "images/s", rates[kind], base, goal
        )
        for kind, (what, goal) in encodings.items()
    ]


def caches(sizes: Sizes) -> list[Result]:
    """Row 6: speed with cached rows, and the cost of a cold cache."""
    turns = Turns(sizes)
    latencies: dict[str, dict[str, Any]] = {}

    def repeats(name: str, server: Served) -> Callable[[], float]:
        def measure() -> float:
            report = latencies[name] = turns.load(server, kind="repeats")
            return float(report["images"] / report["seconds"])

        return measure

    with ExitStack() as stack:
        models = stack.enter_context(servers.one_model())
        url = stack.enter_context(servers.redis(models.parent))
        none = stack.enter_context(servers.generator(models))
        memory = stack.enter_context(servers.generator(models, CGN_ROW_CACHE_MB="256"))
        redis = stack.enter_context(servers.generator(models, cache_url=url))
        rates = turns.medians(
            {
                "fresh": turns.rate(none),
                "cold memory": turns.rate(memory),
                "cold redis": turns.rate(redis),
                "memory": repeats("memory", memory),
                "redis": repeats("redis", redis),
            }
        )
    fresh = rates["fresh"]
    results = [
        faster(
            "6/memory", "repeats, rows from the process's cache, beside fresh", "images/s",
            rates["memory"], fresh, MEMORY_GOAL,
        ),
        faster(
            "6/redis", "repeats, rows from Redis, beside fresh", "images/s",
            rates["redis"], fresh, REDIS_GOAL,
        ),
        faster(
            "6/cold-memory", "fresh, cold cache in process, beside no cache", "images/s",
            rates["cold memory"], fresh, COLD_MEMORY_GOAL,
        ),
        faster(
            "6/cold-redis", "fresh, cold cache in Redis, beside no cache", "images/s",
            rates["cold redis"], fresh, COLD_REDIS_GOAL,
        ),
    ]  # fmt: skip
    for name, report in latencies.items():
        for q in ("p50_ms", "p99_ms"):
            what = f"latency of 64 repeats, 32 requests in flight, rows from {name}: {q[:3]}"
            results.append(reported(f"6/{name}-{q[:3]}", what, "ms", report[q] or 0.0))
    return results


def other_servers(sizes: Sizes) -> list[Result]:
    """Row 5: speed beside LitServe and BentoML, which serve plain PyTorch."""
    if not servers.BENCH_PYTHON.exists():
        raise SystemExit("error: the other servers are not installed; `make bench ID=5` installs them")
    turns = Turns(sizes)
    loads: dict[str, dict[str, Any]] = {
        "fresh": {},
        "repeats": {"kind": "repeats"},
        "single": {"images": 1},
    }
    goals = {"fresh": FRESH_GOAL, "repeats": REPEATS_GOAL, "single": None}
    with servers.one_model() as models:
        starts = {
            "ours": lambda: servers.generator(models, CGN_ROW_CACHE_MB="256"),
            "litserve": lambda: servers.litserve(models, 64),
            "bentoml": lambda: servers.bentoml(models),
        }
        rates, failed = _rates_in_turns(turns, starts, loads, models)
    results = []
    for other in ("litserve", "bentoml"):
        for load, goal in goals.items():
            measure = f"{load} counterfactuals over gRPC, beside {other} with plain PyTorch over HTTP"
            mine, theirs = rates["ours", load], rates[other, load]
            results.append(faster(f"5/{other}-{load}", measure, "images/s", mine, theirs, goal))
        what = f"requests in these turns that {other} failed or never answered"
        results.append(reported(f"5/{other}-failed", what, "requests", failed[other]))
    return results


def _rates_in_turns(
    turns: Turns,
    starts: dict[str, Callable[[], Any]],
    loads: dict[str, dict[str, Any]],
    models: Path,
) -> tuple[dict[tuple[str, str], float], dict[str, int]]:
    """Returns images per second by server and load, and failed requests by server.

    All servers run at the same time; only one is under load.
    """
    with ExitStack() as stack:
        up = {name: stack.enter_context(start()) for name, start in starts.items()}
        single = stack.enter_context(servers.litserve(models, 1))  # batches of single-image requests
        kinds: dict[tuple[str, str], Callable[[], float]] = {}
        for load, options in loads.items():
            for name, server in up.items():
                target = single if (name, load) == ("litserve", "single") else server
                kinds[name, load] = turns.rate(target, **options)
        rates = turns.medians(kinds)
        failed = {name: turns.failed[server.pid] for name, server in up.items()}
        failed["litserve"] += turns.failed[single.pid]
        return rates, failed
