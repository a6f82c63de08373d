"""What forward passes have cost lately."""

import time
from collections import deque

from cgn.engine.orders import Kind

_PASSES = 16
# A measure is forgotten after this: one that keeps work away would never be corrected.
_SECONDS = 60.0
_GUESS = 0.001  # seconds of a row before the first pass


class PassTimes:
    """Times of the last passes of each kind, and what they say of the next. Not safe among threads.

    Of a pass the fastest ones count: what they say can be done can be, whatever else the machine was doing at
    the time of the others. Of a queue its pace counts, so that what is let in is also done.
    """

    def __init__(self) -> None:
        self._passes: dict[Kind, deque[tuple[float, float, float]]] = {}  # ended, seconds, of a row
        self._paces: deque[tuple[float, float]] = deque(maxlen=_PASSES)  # ended, pace

    def add(self, kind: Kind, seconds: float, rows: int, most: int, since_last: float | None = None) -> None:
        """A pass of so many rows, padding counted.

        Args:
            kind: of its rows.
            seconds: that it took.
            rows: that it had.
            most: what a pass can take.
            since_last: seconds from the last pass's end to this one's, if there was always work.
        """
        # A pass that was not full says little of what a row costs in one that is, so it says the least.
        of_row = seconds / (rows if rows == most else most)
        ended = time.monotonic()
        self._passes.setdefault(kind, deque(maxlen=_PASSES)).append((ended, seconds, of_row))
        if since_last is not None and rows == most:
            self._paces.append((ended, since_last / (rows * self.row_seconds(kind))))

    def forget(self, digest: str) -> None:
        """Drops the passes of a model."""
        self._passes = {kind: passes for kind, passes in self._passes.items() if kind[0] != digest}

    def seconds(self, kind: Kind, rows: int) -> float:
        """The least that so many rows take if nothing else is computed; 0 if nobody knows."""
        since = time.monotonic() - _SECONDS
        known = [(took, of_row) for ended, took, of_row in self._passes.get(kind, ()) if ended > since]
        if not known:
            return 0.0
        return max(min(took for took, _ in known), rows * min(of_row for _, of_row in known))

    def pace(self) -> float:
        """How many times as long as their rows' cost full passes take, with all between them; at least 1.

        What three of four keep to: by the mean, half of what is let in at the limit would be late.
        """
        since = time.monotonic() - _SECONDS
        known = sorted(pace for ended, pace in self._paces if ended > since)
        return max(1.0, known[int(0.75 * len(known))]) if known else 1.0

    def row_seconds(self, kind: Kind) -> float:
        """One row's share of a full pass; a guess before the first one."""
        return min((of_row for _, _, of_row in self._passes.get(kind, ())), default=_GUESS)
