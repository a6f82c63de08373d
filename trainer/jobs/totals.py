"""Counters and histograms over all jobs. Redis keeps them, so they survive restarts of any process."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HOUR = 3600
# Upper bounds of the histograms' buckets in seconds. One more bucket counts longer durations.
WAIT_SECONDS = (1, 5, 15, 60, 300, 900, HOUR, 4 * HOUR, 24 * HOUR)
RUN_SECONDS = (10, 60, 300, 900, HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR, 72 * HOUR)


@dataclass
class Durations:
    """A histogram of durations.

    Attributes:
        counts: number of durations in each bucket; the last bucket is above all bounds.
        seconds: the sum of all durations.
    """

    counts: list[int]
    seconds: float = 0.0


@dataclass(frozen=True)
class Totals:
    """All counts since the records began."""

    attempts: dict[str, int] = field(default_factory=dict)  # attempts begun, by kind
    lost: dict[str, int] = field(default_factory=dict)  # expired leases, by kind
    requeued: dict[tuple[str, str], int] = field(
        default_factory=dict
    )  # by kind and cause: lost (worker), killed (run), handed_back
    waited: dict[str, Durations] = field(default_factory=dict)  # time in the queue before an attempt, by kind
    ran: dict[tuple[str, str], Durations] = field(
        default_factory=dict
    )  # time of all attempts of a job, by kind and last state

    @classmethod
    def from_hash(cls, fields: Mapping[str, str]) -> "Totals":
        """Returns the totals of the hash cgn:jobs:totals. Ignores counters that only another release has."""
        totals = cls()
        for name, number in fields.items():
            what, kind, *rest = name.split(":")
            if what == "attempts":
                totals.attempts[kind] = int(number)
            elif what == "lost":
                totals.lost[kind] = int(number)
            elif what == "requeued":
                totals.requeued[kind, rest[0]] = int(number)
            elif what == "wait":
                empty = Durations([0] * (len(WAIT_SECONDS) + 1))
                _count(totals.waited.setdefault(kind, empty), rest[0], number)
            elif what == "run":
                empty = Durations([0] * (len(RUN_SECONDS) + 1))
                _count(totals.ran.setdefault((kind, rest[0]), empty), rest[1], number)
        return totals


def _count(durations: Durations, place: str, number: str) -> None:
    if place == "sum":
        durations.seconds = float(number)
    else:
        durations.counts[int(place) - 1] = int(number)
