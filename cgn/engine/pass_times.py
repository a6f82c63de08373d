"""What forward passes have cost lately."""

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

from cgn.engine.requests import BatchKey

_PASSES = 16
# A measure is forgotten after this: one that keeps work away would never be corrected.
_SECONDS = 60.0
_GUESS = 0.001  # seconds of a row before the first pass


class _Measure(NamedTuple):
    """Seconds of a pass."""

    ended: float  # when it had ended
    took: float
    share: float  # of the device: less than it took if others run beside it
    of_row: float  # a row's share, if the pass was full; else less


class PassTimes:
    """Times of the last passes of each kind, and what they say of the next. Not safe among threads.

    Of a pass the fastest ones count: what they say can be done can be, whatever else the machine was doing at
    the time of the others. Of a queue its pace counts, so that what is let in is also done.
    """

    def __init__(self) -> None:
        self._passes: dict[BatchKey, deque[_Measure]] = {}
        self._paces: deque[tuple[float, float]] = deque(maxlen=_PASSES)  # ended, pace

    def add(
        self,
        kind: BatchKey,
        seconds: float,
        rows: int,
        most: int,
        slots: int = 1,
        since_last: float | None = None,
    ) -> None:
        """A pass of so many rows, padding counted.

        Args:
            kind: of its rows.
            seconds: that it took.
            rows: that it had.
            most: what a pass can take.
            slots: passes of the kind that run side by side where there is work for so many.
            since_last: seconds since the last pass had ended, here or beside this one, if there was always
                work.
        """
        # A pass that was not full says little of what a row costs in one that is, so it says the least.
        of_row = seconds / slots / (rows if rows == most else most)
        ended = time.monotonic()
        known = self._passes.setdefault(kind, deque(maxlen=_PASSES))
        known.append(_Measure(ended, seconds, seconds / slots, of_row))
        if since_last is not None and rows == most:
            self._paces.append((ended, since_last / (rows * self.row_seconds(kind))))

    def forget(self, digest: str) -> None:
        """Drops the passes of a model."""
        self._passes = {kind: passes for kind, passes in self._passes.items() if kind[0] != digest}

    def shortest(self, kind: BatchKey) -> float:
        """The least that a pass of a kind takes; 0 if nobody knows."""
        return min((measure.took for measure in self._lately(kind)), default=0.0)

    def least(self, kinds: Iterable[BatchKey]) -> float:
        """The least that rows of these kinds take if nothing else is computed; of unknown kinds 0."""
        longest = together = 0.0
        for kind, rows in Counter(kinds).items():
            if known := self._lately(kind):
                _, took, share, of_row = map(min, zip(*known, strict=True))
                longest = max(longest, took)
                together += max(share, rows * of_row)
        return max(longest, together)

    def _lately(self, kind: BatchKey) -> list[_Measure]:
        since = time.monotonic() - _SECONDS
        return [measure for measure in self._passes.get(kind, ()) if measure.ended > since]

    def pace(self) -> float:
        """How many times as long as their rows' cost full passes take, with all between them; at least 1.

        What three of four keep to: by the mean, half of what is let in at the limit would be late.
        """
        since = time.monotonic() - _SECONDS
        known = sorted(pace for ended, pace in self._paces if ended > since)
        return max(1.0, known[int(0.75 * len(known))]) if known else 1.0

    def row_seconds(self, kind: BatchKey) -> float:
        """One row's share of a full pass; a guess before the first one."""
        return min((measure.of_row for measure in self._passes.get(kind, ())), default=_GUESS)
