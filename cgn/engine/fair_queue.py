"""Which rows are computed next: a fair share for every flow, whatever it has queued.

Fair queueing over batches (Demers, Keshav and Shenker 1989; virtual time as in Goyal, Vin and Cheng 1996).
Virtual time runs as fast as each of the waiting flows is served. What a flow queues at once is a turn, or
several if it is much. A row's tag is the virtual time at which its flow, served at that pace, would have
finished the row's turn; the lowest tag goes first. So a single row does not wait for the thousands that
another flow has queued before it, those do not starve under a stream of single ones, and of two that ask for
alike the first is served first, instead of both as late as the second.
"""

import heapq
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

TURN_SECONDS = 0.1  # that a turn costs at most, unless it is a single item


class Flow:
    """What has one share: a request, or a stream of requests that belong together."""

    __slots__ = ("finish", "seconds", "waiting")

    def __init__(self) -> None:
        self.finish = 0.0  # virtual time when all that was queued will have been served
        self.waiting = 0  # items
        self.seconds = 0.0  # what these cost


@dataclass(slots=True, eq=False)
class Ticket(Generic[K, T]):
    """An item in the queue.

    Attributes:
        begin, tag: virtual times at which its turn begins and ends.
    """

    item: T
    key: K
    flow: Flow
    seconds: float
    begin: float
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

    def tag(self, flow: Flow, seconds: float) -> float:
        """The tag of a flow's next turn, if it costs so many seconds."""
        return max(self._now, flow.finish) + min(seconds, TURN_SECONDS)

    def push(self, items: Sequence[tuple[T, K, float]], flow: Flow) -> list[Ticket[K, T]]:
        """Queues what a flow wants at once: items, their keys, and the seconds of service that each costs."""
        tickets: list[Ticket[K, T]] = []
        for turn in _turns(items):
            begin = max(self._now, flow.finish)
            flow.finish = begin + sum(seconds for _, _, seconds in turn)
            for item, key, seconds in turn:
                ticket = Ticket(item, key, flow, seconds, begin, flow.finish)
                flow.waiting += 1
                flow.seconds += seconds
                heap = self._heaps.setdefault(key, _Heap())
                heapq.heappush(heap.entries, (ticket.tag, next(self._numbers), ticket))
                heap.waiting += 1
                tickets.append(ticket)
        if tickets:
            self._flows.add(flow)
        return tickets

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
            ticket = heapq.heappop(heap.entries)[2]
            if ticket.waits:
                if not taken:
                    self._now = max(self._now, ticket.begin)
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


def _turns(items: Sequence[tuple[T, K, float]]) -> Iterator[Sequence[tuple[T, K, float]]]:
    """Parts of at most TURN_SECONDS, or of one item."""
    first, seconds = 0, 0.0
    for i, item in enumerate(items):
        if i > first and seconds + item[2] > TURN_SECONDS:
            yield items[first:i]
            first, seconds = i, 0.0
        seconds += item[2]
    if items:
        yield items[first:]
