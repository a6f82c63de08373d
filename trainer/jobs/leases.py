"""Which leases have run out, by a clock that nobody can set.

No two machines' clocks need agree, nor need any of them tell the time: a worker renews its lease by counting
up a number, and whoever looks after the leases sees with its own monotonic clock whether that still moves.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Lease:
    """A worker's hold on a job, as it stands."""

    job_id: str
    token: str
    beat: str  # counts the renewals
    seconds: float  # without a renewal, until it expires
    worker: str = ""  # host:pid
    time_limit_seconds: int = 0  # of the job; 0: none


class LeaseWatch:
    """Remembers since when each lease has not been renewed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds, of any beginning; it never goes back."""
        self._clock = clock
        self._since: dict[Lease, float] = {}

    def expired(self, leases: Iterable[Lease]) -> list[Lease]:
        """Those of the leases, as just read, that were not renewed for their whole time under this watch."""
        now = self._clock()
        self._since = {lease: self._since.get(lease, now) for lease in leases}
        return [lease for lease, since in self._since.items() if now - since >= lease.seconds]

    def forget(self) -> None:
        """Begins anew, when nobody could renew a lease for a while: all get their whole time again."""
        self._since.clear()
