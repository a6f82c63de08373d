"""A job's events on their way to Redis, kept here while Redis is away."""

from collections import deque

from trainer.jobs.claims import Claim
from trainer.jobs.events import Artefact, Body

_MOST_WAITING = 2000
_MOST_AT_ONCE = 200


class Outbox:
    """Events in order. If Redis stays away the oldest progress and log lines go, artefacts never do."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._waiting: deque[Body] = deque()

    def put(self, event: Body) -> None:
        self._waiting.append(event)
        if len(self._waiting) > _MOST_WAITING:
            oldest = next((event for event in self._waiting if not isinstance(event, Artefact)), None)
            if oldest is not None:
                self._waiting.remove(oldest)

    def flush(self) -> None:
        """Writes what waits. Raises LeaseLost, or redis.exceptions.RedisError and keeps the rest."""
        while self._waiting:
            some = [self._waiting[i] for i in range(min(_MOST_AT_ONCE, len(self._waiting)))]
            self._claim.append(some)
            for _ in some:
                self._waiting.popleft()
