"""How long lately it has taken from an answer's rows to its last byte."""

import time
from collections import deque
from functools import partial
from typing import Any

_ANSWERS = 32
# A measure is forgotten after this: one that refuses all requests would never be corrected.
_SECONDS = 10.0


class AnswerTimes:
    """Times of the last answers: composing, encoding, waiting for a thread, sending. For the event loop."""

    def __init__(self) -> None:
        self._answers: deque[tuple[float, float]] = deque(maxlen=_ANSWERS)  # ended, seconds

    def begin(self, context: Any) -> None:
        """An answer's rows are there; it has ended when its RPC has."""
        context.add_done_callback(partial(self._end, time.monotonic()))

    def _end(self, began: float, context: Any) -> None:
        now = time.monotonic()
        self._answers.append((now, now - began))

    def seconds(self) -> float:
        """What nine of ten keep to; 0 if nobody knows."""
        since = time.monotonic() - _SECONDS
        known = sorted(took for ended, took in self._answers if ended > since)
        return known[int(0.9 * len(known))] if known else 0.0
