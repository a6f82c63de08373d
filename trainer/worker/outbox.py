"""A job's events on their way to Redis, kept here while Redis is away."""

import time
from collections import deque
from collections.abc import Callable

from trainer.jobs.claims import Claim
from trainer.jobs.events import Artefact, Body, Progress

_MOST_WAITING = 2000
_MOST_AT_ONCE = 200
_EARLY_SECONDS = 60.0  # while a run is this young its log takes progress more often
_SECONDS_BETWEEN_EARLY = 2.0
_SECONDS_BETWEEN = 10.0


class Outbox:
    """Events in order. If Redis stays away the oldest progress and log lines go, artefacts never do.

    The record always gets the latest progress, the event log now and then and the last one, so that it
    has room for all else that happens in a long run.
    """

    def __init__(self, claim: Claim, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds."""
        self._claim = claim
        self._clock = clock
        self._waiting: deque[Body] = deque()
        self._sending: list[Body] = []  # a batch that may have been written, or not
        self._began = self._next_progress_at = clock()
        self._unlogged: Progress | None = None  # the latest progress, unless the log has it or is to get it
        self._shown: Progress | None = None  # the last one that went to the record alone

    def put(self, event: Body) -> None:
        if isinstance(event, Progress):
            self._unlogged = event
            if self._clock() >= self._next_progress_at:
                self._log_progress(event)
        else:
            self._queue(event)

    def _log_progress(self, progress: Progress) -> None:
        now = self._clock()
        early = now - self._began < _EARLY_SECONDS
        self._next_progress_at = now + (_SECONDS_BETWEEN_EARLY if early else _SECONDS_BETWEEN)
        self._unlogged = None
        self._queue(progress)

    def _queue(self, event: Body) -> None:
        self._waiting.append(event)
        if len(self._waiting) > _MOST_WAITING:
            oldest = next((event for event in self._waiting if not isinstance(event, Artefact)), None)
            if oldest is not None:
                self._waiting.remove(oldest)

    def flush(self, last: bool = False) -> None:
        """Writes what waits; last: no more will come.

        Raises LeaseLost, or redis.exceptions.RedisError and keeps the rest.
        """
        if self._unlogged and last:
            self._log_progress(self._unlogged)
        while self._sending or self._waiting:
            if not self._sending:
                self._sending = [
                    self._waiting.popleft() for _ in range(min(_MOST_AT_ONCE, len(self._waiting)))
                ]
            self._claim.append(self._sending)
            self._sending = []
        if self._unlogged and self._unlogged is not self._shown:
            self._claim.show(self._unlogged)
            self._shown = self._unlogged
