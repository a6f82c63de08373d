"""Sizes of the benchmarks: FULL for results, TINY to check that they work."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Counts and seconds of the rows of `make bench`.

    Attributes:
        rounds: turns of each side; the median is reported.
        images: images per turn in process.
        bank_images: counterfactuals for a classifier.
        load_seconds: of a turn of load on a server, without warm-up.
        warm_up_seconds: of uncounted load before each turn.
        starts: process starts of each kind.
        health_seconds: of health checks.
        memory_seconds: of load while memory is sampled.
        full_width: whether the 256-pixel model under the health checks has full size.
    """

    rounds: int = 5
    images: int = 512
    bank_images: int = 100_000
    load_seconds: float = 5.0
    warm_up_seconds: float = 1.0
    starts: int = 5
    health_seconds: float = 30.0
    memory_seconds: float = 120.0
    full_width: bool = True


FULL = Sizes()
TINY = Sizes(
    rounds=1,
    images=32,
    bank_images=1_000,
    load_seconds=1.0,
    warm_up_seconds=0.0,
    starts=1,
    health_seconds=1.0,
    memory_seconds=4.0,
    full_width=False,
)
