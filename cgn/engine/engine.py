"""The engine: threads that run forward passes, batching rows of all callers by mechanism."""

import threading
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch

from cgn.card import ModelCard
from cgn.engine.fair_queue import Flow
from cgn.engine.forward import OutOfMemory, rows_of
from cgn.engine.pass_times import PassTimes
from cgn.engine.requests import BatchKey, PendingRow, Pixels, RowRequest, RowRequests
from cgn.engine.rows import Row
from cgn.errors import CgnInputError
from cgn.model import CGN
from cgn.noise import Mechanism

# Passes side by side. More gain little: all of them take Python's lock between their operations.
_MOST_LANES = 4


class DeadlineExceeded(Exception):
    """Rows cannot be there by the deadline; the message has the numbers.

    Attributes:
        queued_seconds: how long others are served first, if there would have been time without them; else 0.
    """

    def __init__(self, message: str, queued_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.queued_seconds = queued_seconds


class EngineStopped(Exception):
    """The engine is stopping, or a thread of it has died and begins anew: nothing is wrong with the rows."""


@dataclass(frozen=True)
class Batch:
    """What happened in one forward pass.

    Attributes:
        card: of the model that ran.
        mechanism: which mechanism ran.
        rows: rows asked for, padding not counted, 1 to the network's batch_rows.
        closed_by: "full": no more rows fit; "drained": no more rows were waiting.
        queue_waits: seconds that each row had waited.
        forward_seconds: seconds of the forward pass.
    """

    card: ModelCard
    mechanism: Mechanism
    rows: int
    closed_by: Literal["full", "drained"]
    queue_waits: list[float]
    forward_seconds: float


@dataclass(frozen=True)
class _ForwardPass:
    """Rows of one kind that a forward pass is to make; without a model they can only fail."""

    kind: BatchKey
    model: CGN | None
    batch: list[PendingRow]
    most: int


class _PassOutput(NamedTuple):
    """What a pass has made."""

    pixels: list[Pixels]
    seconds: float  # that it took
    drawn: int  # its rows, padding counted


class Engine:
    """Models resident on one device, and the threads that run them.

    A pass takes what waits when the device is free, so that batches grow with the load and an idle engine
    adds no wait. A pass of a large network has the device for itself. One of a small network is many short
    operations: shared among all cores each of them would end in a wait of all for the last. So a few of them
    run side by side, in *lanes*, each a thread with its share of the processor.

    Whose rows come first: cgn.engine.fair_queue. Rows that two callers want at the same time are computed
    once.

    Args:
        threads: CPU threads of a forward pass, or of those that run side by side; 0: torch's default. The
            same pixels to the bit are promised for one machine, torch build and thread count.
        on_batch: called in the pass's thread after each forward pass, before its rows are handed out.
        on_death: called with what a thread of the engine has died of, when another one takes its place.
    """

    def __init__(
        self,
        threads: int = 0,
        on_batch: Callable[[Batch], None] = lambda batch: None,
        on_death: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._cores = threads or torch.get_num_threads()
        self._lanes = min(self._cores, _MOST_LANES)
        self._on_batch = on_batch
        self._on_death = on_death
        self._models: dict[str, CGN] = {}
        self._times = PassTimes()
        self._requests = RowRequests(self._times.row_seconds)
        self._lock = threading.Lock()
        # Waited for by thread 0, which runs what has the device for itself, and by the lanes.
        self._alone_wanted = threading.Condition(self._lock)
        self._lane_wanted = threading.Condition(self._lock)
        self._closed = False
        self._began: dict[int, float] = {}  # by thread: when the pass that it runs did
        self._last_ended: float | None = None  # when the last pass did, if it left work
        # All begin now: a thread that begins when memory has run out may never do so.
        self._threads = [self._start(number) for number in range(1 + (self._lanes if self._lanes > 1 else 0))]

    def add(self, model: CGN) -> None:
        """Makes a model's rows available under its digest."""
        with self._lock:
            self._models[model.card.digest] = model

    def remove(self, digest: str) -> None:
        """Forgets a model; rows that wait for it fail with CgnInputError."""
        with self._lock:
            self._models.pop(digest, None)
            self._times.forget(digest)
            self._call_next()

    def submit(
        self, rows: Sequence[Row], *, flow: Flow | None = None, deadline: float | None = None
    ) -> RowRequest:
        """Queues rows; the order's future gives float32 HWC pixels, read-only, in the order asked.

        Masks are (H, W, 1) in [0, 1], textures (H, W, 3) in [-1, 1]. Rows of an order that is cancelled
        before their batch is formed cost nothing.

        Args:
            rows: of resident models.
            flow: what they share the engine's time as; None: by themselves.
            deadline: when they are of no more use, by time.monotonic(). An order that becomes late while
                it waits fails with DeadlineExceeded.

        Raises:
            CgnInputError: a row of a model that is not resident; nothing was queued.
            DeadlineExceeded: the deadline cannot be met; nothing was queued.
            EngineStopped: the engine takes no more.
        """
        with self._lock:
            if self._closed:
                raise EngineStopped("the engine is stopping")
            for digest in {row.digest for row in rows}:
                if digest not in self._models:
                    raise CgnInputError("model", f"no resident model has digest {digest}")
            if deadline is not None:
                self._check_time(rows, deadline)
            order = self._requests.add(rows, flow or Flow(), deadline)
            self._call_next()
        if order.missing:
            ended = weakref.ref(order)  # an order and its future would keep each other, and the pixels
            order.future.add_done_callback(lambda _: self._withdraw(ended()))
        else:
            order.complete()
        return order

    def pass_seconds(self) -> float:
        """How long the pass that has run longest has taken so far; 0 if none runs."""
        with self._lock:
            began = min(self._began.values(), default=None)
        return 0.0 if began is None else time.monotonic() - began

    def stop(self) -> None:
        """Takes no more; orders that are still open fail with EngineStopped."""
        with self._lock:
            self._closed = True
            left = self._requests.open()
            for wanted in (self._alone_wanted, self._lane_wanted):
                wanted.notify_all()
        for order in left:
            order.fail(EngineStopped("the engine is stopping"))

    def close(self) -> None:
        """Stops, and ends the threads after their passes."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _check_time(self, rows: Sequence[Row], deadline: float) -> None:
        """Raises DeadlineExceeded if rows cannot be there in time."""
        alone = self._times.least(
            (row.digest, row.mechanism) for row in rows if not self._requests.is_pending(row)
        )
        own, queued = alone, self._requests.queue.ahead(alone)
        if queued:
            own, queued = own * self._times.pace(), queued * self._times.pace()
        left = deadline - time.monotonic()
        if left < max(0.0, own + queued):
            what = f"these rows take {own:.3g} s, after {queued:.3g} s of others"
            raise DeadlineExceeded(
                f"{what}; {max(0.0, left):.3g} s are left", queued if alone <= left else 0.0
            )

    def _withdraw(self, order: RowRequest | None) -> None:
        if order:
            with self._lock:
                self._requests.withdraw(order)

    def _start(self, number: int) -> threading.Thread:
        """Begins thread 0, which runs the passes that have the device for themselves, or a lane."""
        name = f"cgn-lane-{number}" if number else "cgn-engine"
        thread = threading.Thread(target=self._live, args=(number,), name=name, daemon=True)
        thread.start()
        return thread

    def _live(self, number: int) -> None:
        """A thread's life. If it ends by an exception, another one begins, and the queue is empty."""
        try:
            self._run(number)
        except BaseException as error:
            with self._lock:
                left, self._requests = self._requests.abandon(), RowRequests(self._times.row_seconds)
                self._began.pop(number, None)
                self._last_ended = None
                if not self._closed:
                    self._threads[number] = self._start(number)
            for order in left:
                order.fail(EngineStopped("the engine's thread has died; another one has taken its place"))
            self._on_death(error)

    def _run(self, number: int) -> None:
        # The number of OpenMP threads is a property of the calling thread, so it is set in each.
        torch.get_num_threads()  # else torch sets what another thread has set meanwhile, at the first pass
        torch.set_num_threads(self._cores // self._lanes if number else self._cores)
        while self._run_next(number):
            pass

    def _run_next(self, number: int) -> bool:
        """Waits for a pass and runs it; False when the engine has stopped. Keeps nothing of it."""
        one = self._wait(number)
        if not one:
            return False
        told: list[Callable[[], None]] = []
        try:
            self._run_pass(one, told)
        finally:
            with self._lock:
                self._began.pop(number, None)
            for tell in told:
                tell()
        return True

    def _wait(self, number: int) -> _ForwardPass | None:
        """Waits until a thread may begin a pass; None when the engine has stopped."""
        wanted = self._lane_wanted if number else self._alone_wanted
        while True:
            with self._lock:
                one, late = self._take(number)
                while not (one or late or self._closed):
                    self._call_next()
                    wanted.wait()
                    one, late = self._take(number)
                if one:
                    self._call_next()
            for order in late:
                order.fail(DeadlineExceeded("the deadline would have passed before these rows were there"))
            if one or self._closed:
                return one

    def _take(self, number: int) -> tuple[_ForwardPass | None, set[RowRequest]]:
        """The next pass if a thread may begin it now; and orders that are late. With the lock held."""
        late: set[RowRequest] = set()
        while self._requests.queue and not self._closed and self._may_begin(in_lane=number > 0):
            kind = self._requests.queue.first()
            model = self._models.get(kind[0])
            # Of a model that is gone all rows at once: they only fail.
            most = model.network.batch_rows if model else 1 << 30
            now = time.monotonic()
            batch, gone = self._requests.take(kind, most, now + self._times.shortest(kind))
            late |= gone
            if batch:  # else all rows were given up meanwhile
                self._began[number] = now
                return _ForwardPass(kind, model, batch, most), late
        return None, late

    def _may_begin(self, *, in_lane: bool) -> bool:
        """Whether the next pass is one for a lane, or for a thread alone, and may begin now."""
        lane_is_next = self._slots(self._models.get(self._requests.queue.first()[0])) > 1
        running = 0 in self._began if lane_is_next else bool(self._began)
        return lane_is_next == in_lane and not running

    def _call_next(self) -> None:
        """Wakes a thread that may begin the next pass, if it waits. With the lock held."""
        if self._requests.queue:
            if self._may_begin(in_lane=True):
                self._lane_wanted.notify()
            elif self._may_begin(in_lane=False):
                self._alone_wanted.notify()

    def _slots(self, model: CGN | None) -> int:
        """How many passes of a model run side by side."""
        return self._lanes if model and model.network.small and model.device.type == "cpu" else 1

    def _run_pass(self, one: _ForwardPass, told: list[Callable[[], None]]) -> None:
        """Runs a pass, and adds to ``told`` what its orders are to be told."""
        start = time.monotonic()
        outcome = _outcome(one)
        if not isinstance(outcome, Exception):
            told += [order.complete for order in self._finish(one, outcome, start)]
        elif len(one.batch) > 1 and one.model and not isinstance(outcome, OutOfMemory):
            for wanted in one.batch:  # one of its rows is bad; its mates are not
                self._run_pass(_ForwardPass(one.kind, one.model, [wanted], one.most), told)
        else:
            told += [partial(order.fail, outcome) for order in self._fail(one.batch)]

    def _finish(self, one: _ForwardPass, made: _PassOutput, start: float) -> list[RowRequest]:
        """The orders that a pass has completed; its measures are kept (see PassTimes.add)."""
        assert one.model
        card, mechanism, rows = one.model.card, one.kind[1], len(one.batch)
        waits = [start - wanted.since for wanted in one.batch]
        closed_by: Literal["full", "drained"] = "full" if rows == one.most else "drained"
        self._on_batch(Batch(card, mechanism, rows, closed_by, waits, made.seconds))
        with self._lock:
            complete = self._requests.fill(zip(one.batch, made.pixels, strict=True))
            ended = time.monotonic()
            since_last = None if self._last_ended is None else ended - self._last_ended
            self._last_ended = ended if self._requests.queue else None
            self._times.add(one.kind, made.seconds, made.drawn, one.most, self._slots(one.model), since_last)
        return complete

    def _fail(self, batch: Collection[PendingRow]) -> set[RowRequest]:
        """Every order that waits for one of these rows; they keep nobody else's from being made."""
        with self._lock:
            self._last_ended = None
            return self._requests.fail_rows(batch)


def _outcome(one: _ForwardPass) -> _PassOutput | Exception:
    """What a pass makes, in the calling thread, or why it does not."""
    if not one.model:
        return CgnInputError("model", f"digest {one.kind[0]} was unloaded")
    start = time.monotonic()
    try:
        pixels = _compute(one.model, one.batch)
    except Exception as error:
        return error
    seconds = time.monotonic() - start
    return _PassOutput(pixels, seconds, one.model.network.pass_rows(one.kind[1], len(one.batch)))


def _compute(model: CGN, batch: Sequence[PendingRow]) -> list[Pixels]:
    """The rows of one mechanism, each an array of its own: a cached row must not keep its batch alive."""
    factors = [wanted.row.factor for wanted in batch]
    rows_NHWC = rows_of(model, batch[0].row.mechanism, factors).permute(0, 2, 3, 1).contiguous().numpy()
    pixels = [row.copy() for row in rows_NHWC]
    for row in pixels:
        row.flags.writeable = False
    return pixels
