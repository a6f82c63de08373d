"""The generator under open-loop load: requests at random times, up to twice its capacity."""

import statistics

from benchmarks import servers
from benchmarks.results import Result, faster, reported
from benchmarks.sizes import Sizes

IMAGES = 64  # per request
LOADS = (0.5, 0.8)  # offered load as a share of the capacity
OVERLOAD = 2.0  # the same, above the capacity
DEADLINE = 30.0  # seconds, of requests below capacity
OVERLOAD_DEADLINE = 1.0  # seconds
GOODPUT_GOAL = 0.9


def open_loop(sizes: Sizes) -> list[Result]:
    """Measures row 7: the latency below capacity, and the goodput at twice the capacity.

    The capacity is the throughput under closed-loop load. It is measured again before each open-loop load.
    """
    capacities: list[float] = []
    reports: dict[float, list[dict[str, float]]] = {load: [] for load in (*LOADS, OVERLOAD)}
    timing = {"warm_up": sizes.warm_up_seconds, "seconds": sizes.load_seconds}
    goodput_shares = []
    with servers.one_model() as models, servers.generator(models) as server:
        for turn in range(sizes.rounds):
            for k, load in enumerate(reports):
                seed = 10 * turn + k
                capacity = server.images_per_second(seed=1000 + seed, **timing)
                capacities.append(capacity)
                rate = max(1.0, load * capacity / IMAGES)
                deadline = OVERLOAD_DEADLINE if load == OVERLOAD else DEADLINE
                report = server.load(seed=seed, rate=rate, seconds=2 * sizes.load_seconds, deadline=deadline)
                reports[load].append(report)
                if load == OVERLOAD:
                    goodput_shares.append(report["images"] / report["seconds"] / capacity)
    results = []
    for load in LOADS:
        for q in ("p50_ms", "p95_ms", "p99_ms"):
            # A percentile is missing if no request was answered; its lower bound is the deadline.
            latency = statistics.median(report[q] or 1000 * DEADLINE for report in reports[load])
            measure = f"latency of 64 fresh images, Poisson arrivals at {load:.0%} of capacity: {q[:3]}"
            results.append(reported(f"7/{load * 100:.0f}-{q[:3]}", measure, "ms", latency))
    capacity = statistics.median(capacities)
    goodput = statistics.median(goodput_shares) * capacity
    measure = "images answered within a second under a load of twice the capacity, beside the capacity"
    return [*results, faster("7/goodput", measure, "images/s", goodput, capacity, GOODPUT_GOAL)]
