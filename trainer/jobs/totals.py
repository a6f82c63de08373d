"""What has happened to all jobs so far, as Redis counts it: right over restarts and however many workers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

HOUR = 3600
# Bounds of the counted intervals in seconds; one more counts all that is longer.
WAIT_SECONDS = (1, 5, 15, 60, 300, 900, HOUR, 4 * HOUR, 24 * HOUR)
RUN_SECONDS = (10, 60, 300, 900, HOUR, 4 * HOUR, 12 * HOUR, 24 * HOUR, 72 * HOUR)


@dataclass
class Durations:
    """How often something took how long.

    Attributes:
        counts: by place of the first bound that was not passed; the last one is of those that pass all.
        seconds: the sum.
    """

    counts: list[int]
    seconds: float = 0.0


@dataclass(frozen=True)
class Totals:
    """All that was counted since the records began."""

    attempts: dict[str, int] = field(default_factory=dict)  # begun, by kind
    lost: dict[str, int] = field(default_factory=dict)  # leases that ran out, by kind
    requeued: dict[tuple[str, str], int] = field(
        default_factory=dict
    )  # by kind and why: lost (worker), killed (run), handed_back
    waited: dict[str, Durations] = field(default_factory=dict)  # in the queue before an attempt, by kind
    ran: dict[tuple[str, str], Durations] = field(
        default_factory=dict
    )  # all attempts, by kind and last state

    @classmethod
    def from_hash(cls, fields: Mapping[str, str]) -> "Totals":
        """fields: cgn:jobs:totals. What another release counts besides is left out."""
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
