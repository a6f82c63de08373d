"""Open requests. A row that several requests contain is computed once."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from cgn.engine.fair_queue import FairQueue, Flow, Ticket
from cgn.engine.rows import Row
from cgn.noise import Mechanism

Pixels = NDArray[np.float32]

_NO_PIXELS: Pixels = np.empty(0, np.float32)


class BatchKey(NamedTuple):
    """The model (by digest) and mechanism that all rows of a forward pass share."""

    digest: str
    mechanism: Mechanism


@dataclass(eq=False)
class RowRequest:
    """Rows that one caller waits for.

    Attributes:
        deadline: time after which the rows are useless, by the monotonic clock; None: no deadline.
        pixels: computed rows, in the requested order.
        future: result with the pixels in the requested order, read-only. Cancel it to withdraw the request.
        shared: rows that another request has already caused to be computed.
        missing: rows that have not been computed yet.
    """

    deadline: float | None
    pixels: list[Pixels]
    future: "Future[list[Pixels]]" = field(default_factory=Future)
    shared: set[Row] = field(default_factory=set)
    missing: "set[PendingRow]" = field(default_factory=set)
    # Acquired by the first thread that ends the request: one may complete it while another stops the engine.
    _ending: threading.Lock = field(default_factory=threading.Lock)

    def is_late(self, ready_at: float) -> bool:
        """Returns whether the caller cannot use rows that are ready at that time."""
        return self.future.done() or (self.deadline is not None and self.deadline < ready_at)

    def complete(self) -> None:
        """Gives the pixels to the caller, unless the caller has cancelled."""
        if self._end_once():
            self.future.set_result(self.pixels)

    def fail(self, error: BaseException) -> None:
        """Fails the request, unless the caller has cancelled or it has failed before."""
        if self._end_once():
            self.future.set_exception(error)

    def _end_once(self) -> bool:
        return self._ending.acquire(blocking=False) and self.future.set_running_or_notify_cancel()


@dataclass(eq=False, slots=True)
class PendingRow:
    """A row to compute, and the places in requests that wait for it."""

    row: Row
    requested_at: float  # time of the first request, by the monotonic clock
    places: list[tuple[RowRequest, int]] = field(default_factory=list)
    # Its place in the queue; None once a forward pass has taken the row.
    ticket: "Ticket[BatchKey, PendingRow] | None" = None


class RowRequests:
    """All open requests and the queue of their rows. Not thread-safe."""

    def __init__(self, row_seconds: Callable[[BatchKey], float]) -> None:
        """row_seconds: returns the estimated cost of one row of a key, in seconds."""
        self.queue: FairQueue[BatchKey, PendingRow] = FairQueue()
        self._row_seconds = row_seconds
        self._pending: dict[Row, PendingRow] = {}
        # Pixels that still exist somewhere, such as in a cache, are not computed again.
        self._held: WeakValueDictionary[Row, Pixels] = WeakValueDictionary()

    def is_pending(self, row: Row) -> bool:
        """Returns whether a row needs no new computation: it is pending, or its pixels still exist."""
        return row in self._pending or row in self._held

    def add(self, rows: Sequence[Row], flow: Flow, deadline: float | None) -> RowRequest:
        """Opens a request and queues its new rows. The request may have no missing rows."""
        request = RowRequest(deadline, [_NO_PIXELS] * len(rows))
        now = time.monotonic()
        costs: dict[BatchKey, float] = {}
        new: list[tuple[PendingRow, BatchKey, float]] = []
        joined: list[tuple[PendingRow, BatchKey, float]] = []
        for place, row in enumerate(rows):
            key = BatchKey(row.digest, row.mechanism)
            if (held := self._held.get(row)) is not None:
                request.pixels[place] = held
                request.shared.add(row)
                continue
            if key not in costs:
                costs[key] = self._row_seconds(key)
            pending = self._pending.get(row)
            if pending is None:
                pending = self._pending[row] = PendingRow(row, now)
                new.append((pending, key, costs[key]))
            elif pending not in request.missing:
                request.shared.add(row)
                joined.append((pending, key, costs[key]))
            pending.places.append((request, place))
            request.missing.add(pending)
        tag = self.queue.tag(flow, sum(seconds for _, _, seconds in new + joined))
        # A row that another flow has queued moves to this flow if this flow is served earlier. The cost of
        # the row then counts for this flow.
        moved = [item for item in joined if item[0].ticket and tag < item[0].ticket.tag]
        for pending, _, _ in moved:
            if pending.ticket:
                self.queue.leave(pending.ticket)
        queued = moved + new
        for (pending, _, _), ticket in zip(queued, self.queue.push(queued, flow), strict=True):
            pending.ticket = ticket
        return request

    def take(self, key: BatchKey, max_rows: int, ready_at: float) -> tuple[list[PendingRow], set[RowRequest]]:
        """Takes the next rows of a key for a forward pass that ends at ready_at.

        Returns:
            At most max_rows rows, and the requests that are late. A request is late if its deadline is
            before ready_at. Rows that no request waits for any more are dropped.
        """
        taken: list[PendingRow] = []
        late: set[RowRequest] = set()
        while len(taken) < max_rows and (waiting := self.queue.take(key, max_rows - len(taken))):
            for pending in waiting:
                pending.ticket = None
                in_time = [place for place in pending.places if not place[0].is_late(ready_at)]
                late |= {request for request, _ in pending.places} - {request for request, _ in in_time}
                if in_time:
                    taken.append(pending)
                else:
                    self._forget(pending)
        return taken, late

    def fill(self, computed: Iterable[tuple[PendingRow, Pixels]]) -> list[RowRequest]:
        """Stores computed rows in their requests, and returns the requests that have all their rows now."""
        complete = []
        for pending, pixels in computed:
            self._forget(pending)
            self._held[pending.row] = pixels
            for request, place in pending.places:
                request.pixels[place] = pixels
                request.missing.discard(pending)
                if not request.missing:
                    complete.append(request)
        return complete

    def fail_rows(self, taken: Iterable[PendingRow]) -> set[RowRequest]:
        """Forgets rows that cannot be computed, and returns the requests that wait for one of them."""
        waiting = set()
        for pending in taken:
            self._forget(pending)
            waiting |= {request for request, _ in pending.places}
        return waiting

    def withdraw(self, request: RowRequest) -> None:
        """Closes a request that is not complete; drops rows that no other request waits for."""
        for pending in request.missing:
            pending.places = [place for place in pending.places if place[0] is not request]
            if not pending.places and pending.ticket:
                self.queue.leave(pending.ticket)
                self._forget(pending)
        request.missing.clear()

    def abandon(self) -> set[RowRequest]:
        """Closes and returns every open request. Rows that are still being computed reach no request."""
        open_requests = self.open()
        for pending in self._pending.values():
            pending.places = []
        for request in open_requests:
            request.missing.clear()
        return open_requests

    def open(self) -> set[RowRequest]:
        """Returns every request that is not complete."""
        return {request for pending in self._pending.values() for request, _ in pending.places}

    def _forget(self, pending: PendingRow) -> None:
        # After the death of a thread, the same row may have a new entry, which must stay.
        if self._pending.get(pending.row) is pending:
            del self._pending[pending.row]
