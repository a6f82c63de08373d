"""Fair queueing over batches: every flow has an equal share of the engine, whatever its queue length.

The algorithm is that of Demers, Keshav and Shenker 1989, with virtual time as in Goyal, Vin and Cheng 1996.
Virtual time advances at the rate at which each waiting flow is served. Items that a flow queues together form
a turn, or several turns if they cost much. An item's tag is its finish tag: the virtual time at which its
turn would end. The item with the lowest tag is served first.

So a one-row request overtakes a bulk request, bulk still progresses, and equal requests finish in arrival
order.
"""

import heapq
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

TURN_SECONDS = 0.1  # highest cost of a turn, unless it is a single item


class Flow:
    """A request, or a stream of related requests, that gets one share of the engine."""

    __slots__ = ("finish", "seconds", "waiting")

    def __init__(self) -> None:
        self.finish = 0.0  # virtual time at which its last queued turn ends
        self.waiting = 0  # number of its queued items
        self.seconds = 0.0  # cost of its queued items


@dataclass(slots=True, eq=False)
class Ticket(Generic[K, T]):
    """An item in the queue.

    Attributes:
        seconds: cost of the item.
        begin, tag: virtual times at which the item's turn begins and ends.
        queued: whether the item is still in the queue.
    """

    item: T
    key: K
    flow: Flow
    seconds: float
    begin: float
    tag: float
    queued: bool = True


@dataclass(slots=True)
class _Heap(Generic[K, T]):
    """Tickets of one key, lowest tag first. Tickets that have left the queue may remain in the heap."""

    entries: list[tuple[float, int, Ticket[K, T]]] = field(default_factory=list)
    waiting: int = 0


class FairQueue(Generic[K, T]):
    """Items by key; only items of one key share a batch. Not thread-safe."""

    def __init__(self) -> None:
        self._heaps: dict[K, _Heap[K, T]] = {}
        self._flows: set[Flow] = set()  # flows that have items in the queue
        self._now = 0.0  # virtual time, in seconds of one flow's service
        self._numbers = count()

    def __bool__(self) -> bool:
        return bool(self._heaps)

    def tag(self, flow: Flow, seconds: float) -> float:
        """Returns the tag of a flow's next turn if the turn costs that many seconds."""
        return max(self._now, flow.finish) + min(seconds, TURN_SECONDS)

    def push(self, items: Sequence[tuple[T, K, float]], flow: Flow) -> list[Ticket[K, T]]:
        """Queues items of a flow, each as (item, key, cost in seconds), and returns their tickets."""
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
        """Removes an item; no effect if the item has already left the queue."""
        if not ticket.queued:
            return
        self._mark_left(ticket)
        heap = self._heaps[ticket.key]
        if not heap.waiting:
            del self._heaps[ticket.key]
        elif len(heap.entries) > 2 * heap.waiting + 64:  # tickets that have left must not pile up
            heap.entries = [entry for entry in heap.entries if entry[2].queued]
            heapq.heapify(heap.entries)

    def first(self) -> K:
        """Returns the key of the item that is served next. The queue must not be empty."""
        for heap in self._heaps.values():
            while not heap.entries[0][2].queued:
                heapq.heappop(heap.entries)
        return min(self._heaps, key=lambda key: self._heaps[key].entries[0][:2])

    def take(self, key: K, max_items: int) -> list[T]:
        """Removes and returns up to max_items items of a key, the lowest tag first."""
        heap = self._heaps.get(key)
        if not heap:
            return []
        taken: list[T] = []
        flows, seconds = len(self._flows), 0.0
        while heap.waiting and len(taken) < max_items:
            ticket = heapq.heappop(heap.entries)[2]
            if ticket.queued:
                if not taken:
                    self._now = max(self._now, ticket.begin)
                taken.append(ticket.item)
                seconds += ticket.seconds
                self._mark_left(ticket)
        self._now += seconds / flows
        if not heap.waiting:
            del self._heaps[key]
        return taken

    def ahead(self, seconds: float) -> float:
        """Returns how long other flows are served before a new flow has been served for ``seconds``.

        Each other flow is served at most ``seconds`` in that time.
        """
        return sum(min(flow.seconds, seconds) for flow in self._flows)

    def _mark_left(self, ticket: Ticket[K, T]) -> None:
        ticket.queued = False
        flow = ticket.flow
        flow.waiting -= 1
        flow.seconds -= ticket.seconds
        self._heaps[ticket.key].waiting -= 1
        if not flow.waiting:
            flow.seconds = 0.0  # without rounding errors
            self._flows.discard(flow)


def _turns(items: Sequence[tuple[T, K, float]]) -> Iterator[Sequence[tuple[T, K, float]]]:
    """Splits items into turns of at most TURN_SECONDS, or of one item."""
    first, seconds = 0, 0.0
    for i, item in enumerate(items):
        if i > first and seconds + item[2] > TURN_SECONDS:
            yield items[first:i]
            first, seconds = i, 0.0
        seconds += item[2]
    if items:
        yield items[first:]
