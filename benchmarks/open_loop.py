"""The generator under open-loop load: requests at random times, up to twice its capacity."""

import statistics

from benchmarks import servers
from benchmarks.results import Result, faster, reported
from benchmarks.sizes import Sizes

IMAGES = 64  # per request
SHARES = (0.5, 0.8)  # of the capacity
OVERLOAD = 2.0
DEADLINE, PATIENCE = 1.0, 30.0  # seconds: in overload, and below capacity
GOODPUT_GOAL = 0.9


def open_loop(sizes: Sizes) -> list[Result]:
    """Row 7: latencies below capacity; goodput at twice the capacity.

    Capacity is the rate under closed-loop load, measured again before every turn.
    """
    capacities: list[float] = []
    reports: dict[float, list[dict[str, float]]] = {share: [] for share in (*SHARES, OVERLOAD)}
    timing = {"warm_up": sizes.warm_up_seconds, "seconds": sizes.load_seconds}
    goodput_shares = []
    with servers.one_model() as models, servers.generator(models) as server:
        for turn in range(sizes.rounds):
            for k, share in enumerate(reports):
                seed = 10 * turn + k
                capacity = server.images_per_second(seed=1000 + seed, **timing)
                capacities.append(capacity)
                rate = max(1.0, share * capacity / IMAGES)
                deadline = DEADLINE if share == OVERLOAD else PATIENCE
                report = server.load(seed=seed, rate=rate, seconds=2 * sizes.load_seconds, deadline=deadline)
                reports[share].append(report)
                if share == OVERLOAD:
                    goodput_shares.append(report["images"] / report["seconds"] / capacity)
    results = []
    for share in SHARES:
        for q in ("p50_ms", "p95_ms", "p99_ms"):
            # Without any response, the latency is at least the deadline.
            latency = statistics.median(report[q] or 1000 * PATIENCE for report in reports[share])
            what = f"latency of 64 fresh images, Poisson arrivals at {share:.0%} of capacity: {q[:3]}"
            results.append(reported(f"7/{share * 100:.0f}-{q[:3]}", what, "ms", latency))
    capacity = statistics.median(capacities)
    goodput = statistics.median(goodput_shares) * capacity
    what = "images answered within a second under a load of twice the capacity, beside the capacity"
    return [*results, faster("7/goodput", what, "images/s", goodput, capacity, GOODPUT_GOAL)]
