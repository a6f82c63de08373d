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
COLD_MEMORY_GOAL, COLD_REDIS_GOAL = 0.97, 0.85  # of the rate without caches: 3 % and 15 % less


class Turns:
    """Load in turns, each with a seed that nobody has had: what is asked for as fresh is fresh."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes, self._seed = sizes, 0
        self.failed: Counter[int] = Counter()  # requests, by the server's pid

    def told(self, server: Served, **options: Any) -> dict[str, Any]:
        self._seed += 1
        timing = {"warm_up": self._sizes.warm_up_seconds, "seconds": self._sizes.load_seconds}
        told = server.load(seed=self._seed, **timing, **options)
        self.failed[server.pid] += told["failed"]
        return told

    def medians(self, kinds: dict[Kind, Callable[[], float]]) -> dict[Kind, float]:
        """Of what each kind gives, all kinds in turns."""
        given: dict[Kind, list[float]] = {name: [] for name in kinds}
        for _ in range(self._sizes.rounds):
            for name, measure in kinds.items():
                given[name].append(measure())
        return {name: statistics.median(values) for name, values in given.items()}

    def rate(self, server: Served, **options: Any) -> Callable[[], float]:
        """Measures images per second under that load."""

        def measure() -> float:
            told = self.told(server, **options)
            return float(told["images"] / told["seconds"])

        return measure


def efficiency(sizes: Sizes) -> list[Result]:
    """Row 4: what of the engine's speed is left over gRPC."""
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
    asked_as = {
        "raw": ("64 raw images a request", EFFICIENCY_GOAL),
        "png": ("64 PNG images a request", None),
        "single": ("one raw image a request", None),
    }
    return [
        faster(
            f"4/{kind}", f"fresh, {what}, beside the engine in process", "images/s", rates[kind], base, goal
        )
        for kind, (what, goal) in asked_as.items()
    ]


def caches(sizes: Sizes) -> list[Result]:
    """Row 6: rows from a cache, and what a cold cache costs."""
    turns = Turns(sizes)
    latencies: dict[str, dict[str, Any]] = {}

    def keep(name: str, server: Served) -> Callable[[], float]:
        def measure() -> float:
            told = latencies[name] = turns.told(server, kind="repeats")
            return float(told["images"] / told["seconds"])

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
                "memory": keep("memory", memory),
                "redis": keep("redis", redis),
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
    for name, told in latencies.items():
        for q in ("p50_ms", "p99_ms"):
            what = f"latency of 64 repeats, 32 requests in flight, rows from {name}: {q[:3]}"
            results.append(reported(f"6/{name}-{q[:3]}", what, "ms", told[q] or 0.0))
    return results


def other_servers(sizes: Sizes) -> list[Result]:
    """Row 5: beside LitServe and BentoML around plain."""
    if not servers.BENCH_PYTHON.exists():
        raise SystemExit("error: the other servers are not installed; `make bench` does that")
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
            measure = f"{load} counterfactuals over gRPC, beside {other} around plain over HTTP"
            mine, theirs = rates["ours", load], rates[other, load]
            results.append(faster(f"5/{other}-{load}", measure, "images/s", mine, theirs, goal))
        what = f"requests of all these turns that {other} failed or left unanswered"
        results.append(reported(f"5/{other}-failed", what, "requests", failed[other]))
    return results


def _rates_in_turns(
    turns: Turns,
    starts: dict[str, Callable[[], Any]],
    loads: dict[str, dict[str, Any]],
    models: Path,
) -> tuple[dict[tuple[str, str], float], dict[str, int]]:
    """Images per second by server and load, and failed requests by server.

    All servers stand at the same time, and rest while another one is asked.
    """
    with ExitStack() as stack:
        up = {name: stack.enter_context(start()) for name, start in starts.items()}
        single = stack.enter_context(servers.litserve(models, 1))  # batches of as many requests as images
        kinds: dict[tuple[str, str], Callable[[], float]] = {}
        for load, options in loads.items():
            for name, server in up.items():
                asked = single if (name, load) == ("litserve", "single") else server
                kinds[name, load] = turns.rate(asked, **options)
        rates = turns.medians(kinds)
        failed = {name: turns.failed[server.pid] for name, server in up.items()}
        failed["litserve"] += turns.failed[single.pid]
        return rates, failed
