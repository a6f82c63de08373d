"""Decides which leases have expired, by a monotonic clock.

The wall clocks of the machines may disagree or be wrong. A worker renews its lease by counting up a number,
its beat. The service watches with its own monotonic clock whether the beat still changes.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Lease:
    """A worker's hold on a job, as just read."""

    job_id: str
    token: str
    beat: str  # number of renewals
    seconds: float  # without a renewal, until it expires
    worker: str = ""  # host:pid
    time_limit_seconds: int = 0  # of the job; 0: none


class LeaseWatch:
    """Remembers how long each lease has not been renewed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: returns seconds since any fixed moment; it never goes back."""
        self._clock = clock
        self._since: dict[Lease, float] = {}

    def expired(self, leases: Iterable[Lease]) -> list[Lease]:
        """Returns the expired leases: those that this watch saw unchanged for their whole time.

        leases: all leases, as just read.
        """
        now = self._clock()
        self._since = {lease: self._since.get(lease, now) for lease in leases}
        return [lease for lease, since in self._since.items() if now - since >= lease.seconds]

    def forget(self) -> None:
        """Restarts the time of all leases, after a while in which no worker could renew them."""
        self._since.clear()
