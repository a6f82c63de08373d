"""Measured costs of recent forward passes, and estimates from them."""

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple

from cgn.engine.requests import BatchKey

_PASSES = 16  # forward passes remembered per key
# Measurements expire. Otherwise an overestimate would refuse all requests, and no new pass would correct it.
_EXPIRY_SECONDS = 60.0
_FIRST_GUESS = 0.001  # seconds per row before the first forward pass


class _Measure(NamedTuple):
    """One forward pass, in seconds."""

    ended: float  # when it ended, by the monotonic clock
    seconds: float
    device_seconds: float  # share of the device's time; less than `seconds` if passes run concurrently
    row_seconds: float  # device seconds per row of a full pass; a lower bound if the pass was not full


class PassTimes:
    """Times of the last forward passes of each key, and estimates from them. Not thread-safe.

    A forward pass is estimated by the fastest recent one, a queue by its measured throughput, so that
    admitted requests meet their deadlines.
    """

    def __init__(self) -> None:
        self._passes: dict[BatchKey, deque[_Measure]] = {}
        self._paces: deque[tuple[float, float]] = deque(maxlen=_PASSES)  # (ended, pace)

    def add(
        self,
        key: BatchKey,
        seconds: float,
        rows: int,
        max_rows: int,
        slots: int = 1,
        since_last: float | None = None,
    ) -> None:
        """Records a forward pass.

        Args:
            key: key of its rows.
            seconds: duration of the pass.
            rows: rows in the pass, padding included.
            max_rows: rows of a full pass.
            slots: number of passes of the key that run concurrently under load.
            since_last: seconds between the end of the previous pass of the engine and the end of this one,
                if work was waiting all the time; else None.
        """
        # A pass that was not full gives only a lower bound of the cost of a row in a full pass.
        row_seconds = seconds / slots / (rows if rows == max_rows else max_rows)
        ended = time.monotonic()
        passes = self._passes.setdefault(key, deque(maxlen=_PASSES))
        passes.append(_Measure(ended, seconds, seconds / slots, row_seconds))
        if since_last is not None and rows == max_rows:
            self._paces.append((ended, since_last / (rows * self.row_seconds(key))))

    def forget(self, digest: str) -> None:
        """Drops the measurements of a model."""
        self._passes = {key: passes for key, passes in self._passes.items() if key.digest != digest}

    def shortest(self, key: BatchKey) -> float:
        """Returns the seconds of the fastest recent forward pass of a key; 0 if there was none."""
        return min((measure.seconds for measure in self._recent(key)), default=0.0)

    def lower_bound(self, keys: Iterable[BatchKey]) -> float:
        """Returns a lower bound, in seconds, for computing rows on an idle engine.

        Args:
            keys: the key of each row. A key without recent passes counts as 0.
        """
        longest = total = 0.0
        for key, rows in Counter(keys).items():
            if recent := self._recent(key):
                _, seconds, device_seconds, row_seconds = map(min, zip(*recent, strict=True))
                longest = max(longest, seconds)
                total += max(device_seconds, rows * row_seconds)
        return max(longest, total)

    def _recent(self, key: BatchKey) -> list[_Measure]:
        since = time.monotonic() - _EXPIRY_SECONDS
        return [measure for measure in self._passes.get(key, ()) if measure.ended > since]

    def pace(self) -> float:
        """Returns the duration of full passes under load, relative to the cost of their rows; at least 1.

        The result is the 75th percentile. With the mean, half of the requests that are admitted at the limit
        would miss their deadlines.
        """
        since = time.monotonic() - _EXPIRY_SECONDS
        recent = sorted(pace for ended, pace in self._paces if ended > since)
        return max(1.0, recent[int(0.75 * len(recent))]) if recent else 1.0

    def row_seconds(self, key: BatchKey) -> float:
        """Returns the cost of one row in a full pass, in seconds; a guess before the first pass."""
        return min((measure.row_seconds for measure in self._passes.get(key, ())), default=_FIRST_GUESS)
