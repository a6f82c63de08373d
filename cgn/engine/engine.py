"""The engine: dynamic batching of the rows of all callers, and the threads that run the forward passes."""

import threading
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import torch

from cgn.card import ModelCard
from cgn.engine.fair_queue import Flow
from cgn.engine.forward import OutOfMemory, compute_rows
from cgn.engine.pass_times import PassTimes
from cgn.engine.requests import BatchKey, PendingRow, Pixels, RowRequest, RowRequests
from cgn.engine.rows import Row
from cgn.errors import CgnInputError
from cgn.model import CGN
from cgn.noise import Mechanism

# Why a batch closed. full: it could take no more rows; drained: no more rows were waiting.
ClosedBy = Literal["full", "drained"]
# Concurrent forward passes. More would gain little: all compete for Python's global interpreter lock.
_MAX_LANES = 4


class DeadlineExceeded(Exception):
    """Rows cannot be ready by the deadline; the message gives the numbers.

    Attributes:
        queued_seconds: estimated seconds of other requests' rows ahead in the queue, if the deadline could
            have been met without them; else 0.
    """

    def __init__(self, message: str, queued_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.queued_seconds = queued_seconds


class EngineStopped(Exception):
    """The engine is stopping, or one of its threads died and was replaced. The request itself is valid."""


@dataclass(frozen=True)
class Batch:
    """A record of one forward pass.

    Attributes:
        card: card of the model.
        mechanism: the mechanism.
        rows: requested rows without padding, 1 to the network's batch_rows.
        closed_by: why the batch closed. Rows that run again after another row failed keep the reason.
        queue_waits: seconds that each row waited in the queue.
        forward_seconds: seconds of the forward pass.
    """

    card: ModelCard
    mechanism: Mechanism
    rows: int
    closed_by: ClosedBy
    queue_waits: list[float]
    forward_seconds: float


@dataclass(frozen=True)
class _ForwardPass:
    """The batch of one forward pass; all rows have the same key. The model is None if it was unloaded."""

    key: BatchKey
    model: CGN | None
    batch: list[PendingRow]
    max_rows: int
    closed_by: ClosedBy


class _PassOutput(NamedTuple):
    """The result of a forward pass."""

    pixels: list[Pixels]
    seconds: float  # duration of the forward pass
    computed_rows: int  # padding included


class Engine:
    """Models resident on one device, and the threads that run their forward passes.

    As soon as the device is free, the next forward pass takes all waiting rows that fit. So batches grow with
    the load, and an idle engine adds no delay.

    A large network runs one forward pass at a time, on the whole device. A small network consists of many
    short operations. On all cores, every operation would wait for the slowest core. So several forward
    passes of small networks run concurrently in *lanes*. A lane is a thread with its share of the cores.

    `cgn.engine.fair_queue` decides which rows go first. A row that two callers request at the same time is
    computed once.

    Args:
        threads: CPU threads of one forward pass, or of all lanes together; 0: torch's default. Pixels
            are bit-identical on one machine with the same torch build and thread count.
        on_batch: called after each forward pass, in its thread, before the rows are handed out.
        on_death: called with the exception that ended a thread of the engine, after it has been replaced.
    """

    def __init__(
        self,
        threads: int = 0,
        on_batch: Callable[[Batch], None] = lambda batch: None,
        on_death: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._cores = threads or torch.get_num_threads()
        self._lanes = min(self._cores, _MAX_LANES)
        self._on_batch = on_batch
        self._on_death = on_death
        self._models: dict[str, CGN] = {}
        self._times = PassTimes()
        self._requests = RowRequests(self._times.row_seconds)
        self._lock = threading.Lock()
        # Thread 0 waits for the first condition and runs the passes that need the whole device. The lanes
        # wait for the second condition.
        self._whole_device_work = threading.Condition(self._lock)
        self._lane_work = threading.Condition(self._lock)
        self._closed = False
        self._began: dict[int, float] = {}  # start of the current forward pass, by thread number
        self._last_ended: float | None = None  # end of the last forward pass, if rows were waiting then
        # All threads start now: once memory has run out, a new thread may never run.
        self._threads = [self._start(number) for number in range(1 + (self._lanes if self._lanes > 1 else 0))]

    def add(self, model: CGN) -> None:
        """Adds a model; rows refer to it by its digest."""
        with self._lock:
            self._models[model.card.digest] = model

    def remove(self, digest: str) -> None:
        """Removes a model. Its waiting rows fail with CgnInputError."""
        with self._lock:
            self._models.pop(digest, None)
            self._times.forget(digest)
            self._wake_next()

    def submit(
        self, rows: Sequence[Row], *, flow: Flow | None = None, deadline: float | None = None
    ) -> RowRequest:
        """Queues rows. The future of the returned request holds their pixels, in the order of ``rows``.

        Pixels are float32 (H, W, C) and read-only: masks (H, W, 1) in [0, 1], in families with a pre-mask
        followed by its three channels in [-1, 1]; other rows (H, W, 3) in [-1, 1]. Cancelling the
        future removes the rows that are still in the queue.

        Args:
            rows: rows of added models.
            flow: the flow that these rows belong to, see `fair_queue`; None: a new flow.
            deadline: time after which the rows are useless, by time.monotonic(). A request that
                misses it in the queue fails with DeadlineExceeded.

        Raises:
            CgnInputError: a row's model has not been added; nothing was queued.
            DeadlineExceeded: the deadline cannot be met; nothing was queued.
            EngineStopped: the engine is stopping.
        """
        with self._lock:
            if self._closed:
                raise EngineStopped("the engine is stopping")
            for digest in {row.digest for row in rows}:
                if digest not in self._models:
                    raise CgnInputError("model", f"no resident model has digest {digest}")
            if deadline is not None:
                self._check_deadline(rows, deadline)
            request = self._requests.add(rows, flow or Flow(), deadline)
            self._wake_next()
        if request.missing:
            # A strong reference would form a cycle of request and future, which keeps the pixels alive.
            weak_request = weakref.ref(request)
            request.future.add_done_callback(lambda _: self._withdraw(weak_request()))
        else:
            request.complete()
        return request

    def pass_seconds(self) -> float:
        """Returns the seconds since the oldest running forward pass began; 0 if none is running."""
        with self._lock:
            began = min(self._began.values(), default=None)
        return 0.0 if began is None else time.monotonic() - began

    def stop(self) -> None:
        """Accepts no more requests. Open requests fail with EngineStopped."""
        with self._lock:
            self._closed = True
            open_requests = self._requests.open()
            self._whole_device_work.notify_all()
            self._lane_work.notify_all()
        for request in open_requests:
            request.fail(EngineStopped("the engine is stopping"))

    def close(self) -> None:
        """Stops the engine, and waits until its threads have ended their forward passes."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _check_deadline(self, rows: Sequence[Row], deadline: float) -> None:
        """Raises DeadlineExceeded if rows cannot be ready in time."""
        new = (row for row in rows if not self._requests.is_pending(row))
        idle_seconds = self._times.lower_bound(BatchKey(row.digest, row.mechanism) for row in new)
        own_seconds, queued_seconds = idle_seconds, self._requests.queue.ahead(idle_seconds)
        if queued_seconds:
            own_seconds *= self._times.pace()
            queued_seconds *= self._times.pace()
        remaining = deadline - time.monotonic()
        if remaining < max(0.0, own_seconds + queued_seconds):
            estimate = f"these rows take {own_seconds:.3g} s, after {queued_seconds:.3g} s of queued rows"
            raise DeadlineExceeded(
                f"{estimate}; {max(0.0, remaining):.3g} s remain until the deadline",
                queued_seconds if idle_seconds <= remaining else 0.0,
            )

    def _withdraw(self, request: RowRequest | None) -> None:
        if request:
            with self._lock:
                self._requests.withdraw(request)

    def _start(self, number: int) -> threading.Thread:
        """Starts a thread: number 0 runs the passes that need the whole device, other numbers are lanes."""
        name = f"cgn-lane-{number}" if number else "cgn-engine"
        thread = threading.Thread(target=self._run_thread, args=(number,), name=name, daemon=True)
        thread.start()
        return thread

    def _run_thread(self, number: int) -> None:
        """Runs a thread. After an exception, fails all open requests and starts a new thread instead."""
        try:
            self._run(number)
        except BaseException as error:
            with self._lock:
                open_requests, self._requests = self._requests.abandon(), RowRequests(self._times.row_seconds)
                self._began.pop(number, None)
                self._last_ended = None
                if not self._closed:
                    self._threads[number] = self._start(number)
            for request in open_requests:
                request.fail(EngineStopped("a thread of the engine died and was replaced; try again"))
            self._on_death(error)

    def _run(self, number: int) -> None:
        # The number of OpenMP threads belongs to the calling thread, so each thread sets it.
        # Without the first call, torch would overwrite the number at the first forward pass.
        torch.get_num_threads()
        torch.set_num_threads(self._cores // self._lanes if number else self._cores)
        while self._run_next(number):
            pass

    def _run_next(self, number: int) -> bool:
        """Waits for a forward pass and runs it; returns False once the engine has stopped.

        This is a separate function, so that a waiting thread holds no reference to the previous pass.
        """
        forward_pass = self._wait(number)
        if not forward_pass:
            return False
        callbacks: list[Callable[[], None]] = []
        try:
            self._run_pass(forward_pass, callbacks)
        finally:
            with self._lock:
                self._began.pop(number, None)
            for callback in callbacks:
                callback()
        return True

    def _wait(self, number: int) -> _ForwardPass | None:
        """Waits until a thread may begin a forward pass; returns None once the engine has stopped."""
        work = self._lane_work if number else self._whole_device_work
        while True:
            with self._lock:
                forward_pass, late = self._take(number)
                while not (forward_pass or late or self._closed):
                    self._wake_next()
                    work.wait()
                    forward_pass, late = self._take(number)
                if forward_pass:
                    self._wake_next()
            for request in late:
                request.fail(DeadlineExceeded("the deadline would have passed before these rows were ready"))
            if forward_pass or self._closed:
                return forward_pass

    def _take(self, number: int) -> tuple[_ForwardPass | None, set[RowRequest]]:
        """Returns the next forward pass if the thread may begin it now, and late requests. Needs the lock."""
        late: set[RowRequest] = set()
        while self._requests.queue and not self._closed and self._may_begin(in_lane=number > 0):
            key = self._requests.queue.first()
            model = self._models.get(key.digest)
            # An unloaded model: take all its rows at once, to fail them.
            max_rows = model.network.batch_rows if model else 1 << 30
            now = time.monotonic()
            batch, new_late = self._requests.take(key, max_rows, now + self._times.shortest(key))
            late |= new_late
            if batch:  # empty if all rows have been withdrawn
                self._began[number] = now
                closed_by: ClosedBy = "full" if len(batch) == max_rows else "drained"
                return _ForwardPass(key, model, batch, max_rows, closed_by), late
        return None, late

    def _may_begin(self, *, in_lane: bool) -> bool:
        """Returns whether the next forward pass is one for a lane (or for thread 0) and may begin now."""
        lane_is_next = self._slots(self._models.get(self._requests.queue.first().digest)) > 1
        running = 0 in self._began if lane_is_next else bool(self._began)
        return lane_is_next == in_lane and not running

    def _wake_next(self) -> None:
        """Wakes a waiting thread that may begin the next forward pass. Needs the lock."""
        if self._requests.queue:
            if self._may_begin(in_lane=True):
                self._lane_work.notify()
            elif self._may_begin(in_lane=False):
                self._whole_device_work.notify()

    def _slots(self, model: CGN | None) -> int:
        """Returns how many forward passes of a model can run concurrently."""
        return self._lanes if model and model.network.small and model.device.type == "cpu" else 1

    def _run_pass(self, forward_pass: _ForwardPass, callbacks: list[Callable[[], None]]) -> None:
        """Runs a forward pass; appends calls that complete or fail its requests to ``callbacks``."""
        start = time.monotonic()
        output = _output(forward_pass)
        if not isinstance(output, Exception):
            callbacks += [request.complete for request in self._finish(forward_pass, output, start)]
        elif len(forward_pass.batch) > 1 and forward_pass.model and not isinstance(output, OutOfMemory):
            # One of the rows is invalid. Each row runs alone, so that valid rows do not fail.
            for pending in forward_pass.batch:
                self._run_pass(replace(forward_pass, batch=[pending]), callbacks)
        else:
            callbacks += [partial(request.fail, output) for request in self._fail(forward_pass.batch)]

    def _finish(self, forward_pass: _ForwardPass, output: _PassOutput, start: float) -> list[RowRequest]:
        """Records a forward pass, stores its rows, and returns the requests that it has completed."""
        model, key, max_rows = forward_pass.model, forward_pass.key, forward_pass.max_rows
        assert model
        rows, closed_by = len(forward_pass.batch), forward_pass.closed_by
        waits = [start - pending.requested_at for pending in forward_pass.batch]
        self._on_batch(Batch(model.card, key.mechanism, rows, closed_by, waits, output.seconds))
        with self._lock:
            complete = self._requests.fill(zip(forward_pass.batch, output.pixels, strict=True))
            ended = time.monotonic()
            since_last = None if self._last_ended is None else ended - self._last_ended
            self._last_ended = ended if self._requests.queue else None
            self._times.add(
                key, output.seconds, output.computed_rows, max_rows, self._slots(model), since_last
            )
        return complete

    def _fail(self, batch: Collection[PendingRow]) -> set[RowRequest]:
        """Forgets rows that cannot be computed, and returns the requests that wait for one of them."""
        with self._lock:
            self._last_ended = None
            return self._requests.fail_rows(batch)


def _output(forward_pass: _ForwardPass) -> _PassOutput | Exception:
    """Runs a forward pass in the calling thread; returns its output, or the exception that it raised."""
    key, model, batch = forward_pass.key, forward_pass.model, forward_pass.batch
    if not model:
        return CgnInputError("model", f"digest {key.digest} was unloaded")
    start = time.monotonic()
    try:
        pixels = _pixels(model, batch)
    except Exception as error:
        return error
    seconds = time.monotonic() - start
    return _PassOutput(pixels, seconds, model.network.pass_rows(key.mechanism, len(batch)))


def _pixels(model: CGN, batch: Sequence[PendingRow]) -> list[Pixels]:
    """Returns the rows of a batch as separate arrays: a cached row must not keep its batch in memory."""
    factors = [pending.row.factor for pending in batch]
    rows_NHWC = compute_rows(model, batch[0].row.mechanism, factors).permute(0, 2, 3, 1).contiguous().numpy()
    pixels = [row.copy() for row in rows_NHWC]
    for row in pixels:
        row.flags.writeable = False
    return pixels
