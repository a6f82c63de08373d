"""A queue of a job's events for Redis, which holds them while Redis cannot be reached."""

import time
from collections import deque
from collections.abc import Callable

from trainer.jobs.claims import Claim
from trainer.jobs.events import Artefact, Body, Progress

_MAX_WAITING = 2000
_MAX_BATCH = 200
_EARLY_SECONDS = 60.0  # for this long after its start a run logs progress more often
_SECONDS_BETWEEN_EARLY = 2.0
_SECONDS_BETWEEN = 10.0


class Outbox:
    """Events in order. If too many wait, the oldest progress and log lines are dropped; artefacts never are.

    The record gets every latest progress. The event log gets one progress every few seconds and the last one,
    so that it has room for the other events of a long run.
    """

    def __init__(self, claim: Claim, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: returns seconds."""
        self._claim = claim
        self._clock = clock
        self._waiting: deque[Body] = deque()
        self._sending: list[Body] = []  # a batch that Redis may or may not have written
        self._began = self._next_progress_at = clock()
        self._unlogged: Progress | None = None  # the latest progress, unless it is queued for the log
        self._shown: Progress | None = None  # the last progress written to the record only

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
        if len(self._waiting) > _MAX_WAITING:
            oldest = next((event for event in self._waiting if not isinstance(event, Artefact)), None)
            if oldest is not None:
                self._waiting.remove(oldest)

    def flush(self, last: bool = False) -> None:
        """Writes the waiting events. last: no more events will follow.

        Raises LeaseLost. Raises redis.exceptions.RedisError, and keeps the unwritten events.
        """
        if self._unlogged and last:
            self._log_progress(self._unlogged)
        while self._sending or self._waiting:
            if not self._sending:
                self._sending = [self._waiting.popleft() for _ in range(min(_MAX_BATCH, len(self._waiting)))]
            self._claim.append(self._sending)
            self._sending = []
        if self._unlogged and self._unlogged is not self._shown:
            self._claim.show(self._unlogged)
            self._shown = self._unlogged
