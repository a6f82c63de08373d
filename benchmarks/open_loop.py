"""The generator under load that does not wait for it: requests at random times, and more than it can bear."""

import statistics

from benchmarks import servers
from benchmarks.results import Result, faster, reported
from benchmarks.sizes import Sizes

IMAGES = 64  # of a request
SHARES = (0.5, 0.8)  # of the capacity
OVERLOAD = 2.0
DEADLINE, PATIENCE = 1.0, 30.0  # seconds, in overload and below it
GOODPUT_GOAL = 0.9


def open_loop(sizes: Sizes) -> list[Result]:
    """Row 7: latencies at a share of the capacity; goodput at twice of it.

    Capacity is what closed-loop load gets, measured anew before every turn.
    """
    capacities: list[float] = []
    told: dict[float, list[dict[str, float]]] = {share: [] for share in (*SHARES, OVERLOAD)}
    timing = {"warm_up": sizes.warm_up_seconds, "seconds": sizes.load_seconds}
    goodput_shares = []
    with servers.one_model() as models, servers.generator(models) as server:
        for turn in range(sizes.rounds):
            for k, share in enumerate(told):
                seed = 10 * turn + k
                capacity = server.images_per_second(seed=1000 + seed, **timing)
                capacities.append(capacity)
                rate = max(1.0, share * capacity / IMAGES)
                deadline = DEADLINE if share == OVERLOAD else PATIENCE
                answers = server.load(seed=seed, rate=rate, seconds=2 * sizes.load_seconds, deadline=deadline)
                told[share].append(answers)
                if share == OVERLOAD:
                    goodput_shares.append(answers["images"] / answers["seconds"] / capacity)
    results = []
    for share in SHARES:
        for q in ("p50_ms", "p95_ms", "p99_ms"):
            # Where nothing was answered, it took longer than anyone waits.
            latency = statistics.median(answers[q] or 1000 * PATIENCE for answers in told[share])
            what = f"latency of 64 fresh images, Poisson arrivals at {share:.0%} of capacity: {q[:3]}"
            results.append(reported(f"7/{share * 100:.0f}-{q[:3]}", what, "ms", latency))
    capacity = statistics.median(capacities)
    goodput = statistics.median(goodput_shares) * capacity
    what = "images answered within a second at twice the capacity, beside the capacity"
    return [*results, faster("7/goodput", what, "images/s", goodput, capacity, GOODPUT_GOAL)]
