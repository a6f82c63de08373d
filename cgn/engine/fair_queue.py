"""Which rows are computed next: a fair share for every flow, whatever it has queued.

Start-time fair queueing (Goyal, Vin and Cheng 1996) over batches. Virtual time runs as fast as each of the
waiting flows is served. A row's tag is the virtual time at which its flow, served alone at that pace, would
begin it; the lowest tag goes first. So a single row does not wait for the thousands that another flow has
queued before it, and those do not starve under a stream of single ones.
"""

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Flow:
    """What has one share: a request, or a stream of requests that belong together."""

    __slots__ = ("finish", "seconds", "waiting")

    def __init__(self) -> None:
        self.finish = 0.0  # virtual time when all that was queued will have been served
        self.waiting = 0  # items
        self.seconds = 0.0  # what these cost


@dataclass(slots=True, eq=False)
class Ticket(Generic[K, T]):
    """An item in the queue."""

    item: T
    key: K
    flow: Flow
    seconds: float
    tag: float
    waits: bool = True


@dataclass(slots=True)
class _Heap(Generic[K, T]):
    """Tickets of one key, the lowest tag first; some of them may have left."""

    entries: list[tuple[float, int, Ticket[K, T]]] = field(default_factory=list)
    waiting: int = 0


class FairQueue(Generic[K, T]):
    """Items by key, as only items of one key share a batch. Not safe among threads."""

    def __init__(self) -> None:
        self._heaps: dict[K, _Heap[K, T]] = {}
        self._flows: set[Flow] = set()  # those with items
        self._now = 0.0  # virtual time, in seconds of one flow's service
        self._numbers = count()

    def __bool__(self) -> bool:
        return bool(self._heaps)

    def tag(self, flow: Flow) -> float:
        """The tag of the next item of a flow."""
        return max(self._now, flow.finish)

    def push(self, item: T, key: K, flow: Flow, seconds: float) -> Ticket[K, T]:
        """Queues an item that costs so many seconds of service."""
        ticket = Ticket(item, key, flow, seconds, self.tag(flow))
        flow.finish = ticket.tag + seconds
        flow.waiting += 1
        flow.seconds += seconds
        self._flows.add(flow)
        heap = self._heaps.setdefault(key, _Heap())
        heapq.heappush(heap.entries, (ticket.tag, next(self._numbers), ticket))
        heap.waiting += 1
        return ticket

    def leave(self, ticket: Ticket[K, T]) -> None:
        """Takes an item out; no effect if it has left before."""
        if not ticket.waits:
            return
        self._left(ticket)
        heap = self._heaps[ticket.key]
        if not heap.waiting:
            del self._heaps[ticket.key]
        elif len(heap.entries) > 2 * heap.waiting + 64:  # those that left must not pile up
            heap.entries = [entry for entry in heap.entries if entry[2].waits]
            heapq.heapify(heap.entries)

    def first(self) -> K:
        """The key of the item that goes first. There must be one."""
        for heap in self._heaps.values():
            while not heap.entries[0][2].waits:
                heapq.heappop(heap.entries)
        return min(self._heaps, key=lambda key: self._heaps[key].entries[0][:2])

    def take(self, key: K, most: int) -> list[T]:
        """Up to so many items of a key, in their order."""
        heap = self._heaps.get(key)
        if not heap:
            return []
        taken: list[T] = []
        flows, seconds = len(self._flows), 0.0
        while heap.waiting and len(taken) < most:
            tag, _, ticket = heapq.heappop(heap.entries)
            if ticket.waits:
                if not taken:
                    self._now = max(self._now, tag)
                taken.append(ticket.item)
                seconds += ticket.seconds
                self._left(ticket)
        self._now += seconds / flows
        if not heap.waiting:
            del self._heaps[key]
        return taken

    def ahead(self, seconds: float) -> float:
        """Seconds of others' service before a new flow has had so many: of each at most as much."""
        return sum(min(flow.seconds, seconds) for flow in self._flows)

    def _left(self, ticket: Ticket[K, T]) -> None:
        ticket.waits = False
        flow = ticket.flow
        flow.waiting -= 1
        flow.seconds -= ticket.seconds
        self._heaps[ticket.key].waiting -= 1
        if not flow.waiting:
            flow.seconds = 0.0  # without what rounding has left
            self._flows.discard(flow)
