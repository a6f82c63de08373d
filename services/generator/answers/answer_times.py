"""Measures how long recent answers took from their rows to their last byte."""

import time
from collections import deque
from functools import partial
from typing import Any

_ANSWERS = 32
# Older measurements are forgotten. If they refused every request, no new one would ever correct them.
_SECONDS = 10.0


class AnswerTimes:
    """Times of recent answers: composing, encoding, waiting for a thread, sending. For the event loop."""

    def __init__(self) -> None:
        self._answers: deque[tuple[float, float]] = deque(maxlen=_ANSWERS)  # ended, seconds

    def start(self, context: Any) -> None:
        """Starts timing an answer whose rows have arrived; timing stops when the RPC ends."""
        context.add_done_callback(partial(self._stop, time.monotonic()))

    def _stop(self, started: float, context: Any) -> None:
        now = time.monotonic()
        self._answers.append((now, now - started))

    def seconds(self) -> float:
        """The 90th percentile of recent answers; 0 without any."""
        since = time.monotonic() - _SECONDS
        recent = sorted(seconds for ended, seconds in self._answers if ended > since)
        return recent[int(0.9 * len(recent))] if recent else 0.0
