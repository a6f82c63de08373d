"""What callers wait for: every distinct row once, whoever asks."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from cgn.engine.fair_queue import FairQueue, Flow, Ticket
from cgn.engine.rows import Row
from cgn.noise import Mechanism

Pixels = NDArray[np.float32]
BatchKey: TypeAlias = tuple[str, Mechanism]  # digest and mechanism: rows of one kind share a pass

_NOTHING: Pixels = np.empty(0, np.float32)


@dataclass(eq=False)
class RowRequest:
    """Rows that one caller waits for.

    Attributes:
        future: gives their pixels in the order asked, read-only; cancel it to give the order up.
        shared: those that are computed for another caller anyway.
        deadline: when they are of no more use, by the monotonic clock; None: never.
        pixels: those that are there, by place.
        missing: what is not there.
    """

    deadline: float | None
    pixels: list[Pixels]
    future: "Future[list[Pixels]]" = field(default_factory=Future)
    shared: set[Row] = field(default_factory=set)
    missing: "set[PendingRow]" = field(default_factory=set)
    # Held by the first who ends it: one thread may complete it while another stops the engine.
    _ending: threading.Lock = field(default_factory=threading.Lock)

    def is_late(self, ready_at: float) -> bool:
        """Whether nobody waits any more for what will be ready then."""
        return self.future.done() or (self.deadline is not None and self.deadline < ready_at)

    def complete(self) -> None:
        """Gives a complete order to its caller, who may have gone."""
        if self._ends():
            self.future.set_result(self.pixels)

    def fail(self, error: BaseException) -> None:
        """Fails the order, unless its caller has gone or it has failed before."""
        if self._ends():
            self.future.set_exception(error)

    def _ends(self) -> bool:
        return self._ending.acquire(blocking=False) and self.future.set_running_or_notify_cancel()


@dataclass(eq=False, slots=True)
class PendingRow:
    """A row that is to be computed, and where it goes."""

    row: Row
    since: float
    places: list[tuple[RowRequest, int]] = field(default_factory=list)
    ticket: "Ticket[BatchKey, PendingRow] | None" = None  # None once it has been taken


class RowRequests:
    """All orders that are open. Not safe among threads."""

    def __init__(self, row_seconds: Callable[[BatchKey], float]) -> None:
        """row_seconds: what a row of a kind costs, for its flow's account."""
        self.queue: FairQueue[BatchKey, PendingRow] = FairQueue()
        self._row_seconds = row_seconds
        self._wanted: dict[Row, PendingRow] = {}
        # A row that somebody still holds, on its way to a cache perhaps, need not be computed again.
        self._held: WeakValueDictionary[Row, Pixels] = WeakValueDictionary()

    def is_pending(self, row: Row) -> bool:
        """Whether a row is computed anyway, or need not be."""
        return row in self._wanted or row in self._held

    def add(self, rows: Sequence[Row], flow: Flow, deadline: float | None) -> RowRequest:
        """Opens an order; it may be complete at once."""
        order = RowRequest(deadline, [_NOTHING] * len(rows))
        now = time.monotonic()
        costs: dict[BatchKey, float] = {}
        new: list[tuple[PendingRow, BatchKey, float]] = []
        known: list[tuple[PendingRow, BatchKey, float]] = []
        for place, row in enumerate(rows):
            kind = row.digest, row.mechanism
            if (held := self._held.get(row)) is not None:
                order.pixels[place] = held
                order.shared.add(row)
                continue
            if kind not in costs:
                costs[kind] = self._row_seconds(kind)
            wanted = self._wanted.get(row)
            if wanted is None:
                wanted = self._wanted[row] = PendingRow(row, now)
                new.append((wanted, kind, costs[kind]))
            elif wanted not in order.missing:
                order.shared.add(row)
                known.append((wanted, kind, costs[kind]))
            wanted.places.append((order, place))
            order.missing.add(wanted)
        tag = self.queue.tag(flow, sum(seconds for _, _, seconds in new + known))
        # What another flow has queued stays where it is unless it goes first in this one, which then pays.
        moved = [item for item in known if item[0].ticket and tag < item[0].ticket.tag]
        for wanted, _, _ in moved:
            if wanted.ticket:
                self.queue.leave(wanted.ticket)
        queued = moved + new
        for (wanted, _, _), ticket in zip(queued, self.queue.push(queued, flow), strict=True):
            wanted.ticket = ticket
        return order

    def take(self, kind: BatchKey, most: int, ready_at: float) -> tuple[list[PendingRow], set[RowRequest]]:
        """The next rows of a kind, at most so many, and the orders that are late.

        Rows that nobody waits for are dropped. An order is late if its deadline is before ready_at, when
        these rows will be there.
        """
        taken: list[PendingRow] = []
        late: set[RowRequest] = set()
        while len(taken) < most and (waiting := self.queue.take(kind, most - len(taken))):
            for wanted in waiting:
                wanted.ticket = None
                in_time = [place for place in wanted.places if not place[0].is_late(ready_at)]
                late |= {order for order, _ in wanted.places} - {order for order, _ in in_time}
                if in_time:
                    taken.append(wanted)
                else:
                    self._forget(wanted)
        return taken, late

    def fill(self, computed: Iterable[tuple[PendingRow, Pixels]]) -> list[RowRequest]:
        """Hands rows out; the orders that this completes."""
        complete = []
        for wanted, pixels in computed:
            self._forget(wanted)
            self._held[wanted.row] = pixels
            for order, place in wanted.places:
                order.pixels[place] = pixels
                order.missing.discard(wanted)
                if not order.missing:
                    complete.append(order)
        return complete

    def fail_rows(self, taken: Iterable[PendingRow]) -> set[RowRequest]:
        """Forgets rows that cannot be computed; the orders that wait for one of them."""
        hit = set()
        for wanted in taken:
            self._forget(wanted)
            hit |= {order for order, _ in wanted.places}
        return hit

    def withdraw(self, order: RowRequest) -> None:
        """Ends an order that is not complete; rows that nobody else waits for are dropped."""
        for wanted in order.missing:
            wanted.places = [place for place in wanted.places if place[0] is not order]
            if not wanted.places and wanted.ticket:
                self.queue.leave(wanted.ticket)
                self._forget(wanted)
        order.missing.clear()

    def abandon(self) -> set[RowRequest]:
        """Ends every order that is not complete: what is still being computed is nobody's."""
        left = self.open()
        for wanted in self._wanted.values():
            wanted.places = []
        for order in left:
            order.missing.clear()
        return left

    def open(self) -> set[RowRequest]:
        """Every order that is not complete."""
        return {order for wanted in self._wanted.values() for order, _ in wanted.places}

    def _forget(self, wanted: PendingRow) -> None:
        # Another one of the same row may have taken its place, if a thread has died meanwhile.
        if self._wanted.get(wanted.row) is wanted:
            del self._wanted[wanted.row]
