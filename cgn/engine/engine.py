"""The engine: one thread that has forward passes run, batching rows of all callers by mechanism."""

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
from cgn.engine.orders import Kind, Order, Orders, Pixels, Wanted
from cgn.engine.pass_times import PassTimes
from cgn.engine.rows import Row
from cgn.engine.side_by_side import SideBySide
from cgn.errors import CgnInputError
from cgn.model import CGN
from cgn.noise import Mechanism


class Late(Exception):
    """Rows cannot be there by the deadline; the message has the numbers.

    Attributes:
        queued_seconds: how long others are served first; without them there might have been time.
    """

    def __init__(self, message: str, queued_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.queued_seconds = queued_seconds


class EngineStopped(Exception):
    """The engine is stopping, or its thread has died and begins anew: nothing is wrong with the rows."""


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
class _Pass:
    """Rows of one kind that a forward pass is to make; without a model they can only fail."""

    kind: Kind
    model: CGN | None
    batch: list[Wanted]
    most: int


class _Made(NamedTuple):
    """What a pass has made."""

    pixels: list[Pixels]
    seconds: float  # that it took
    drawn: int  # its rows, padding counted


class Engine:
    """Models resident on one device, and the thread that runs them.

    A pass takes what waits when the device is free, so that batches grow with the load and an idle engine
    adds no wait. Of small networks a few run side by side, and the next ones when all of these have ended.
    Whose rows come first: cgn.engine.fair_queue. Rows that two callers want at the same time
    are computed once.

    Args:
        threads: CPU threads of a forward pass, or of those that run side by side; 0: torch's default. The
            same pixels to the bit are promised for one machine, torch build and thread count.
        on_batch: called in the engine's thread after each forward pass, before its rows are handed out.
        on_death: called with what the engine's thread has died of, when another one takes its place.
    """

    def __init__(
        self,
        threads: int = 0,
        on_batch: Callable[[Batch], None] = lambda batch: None,
        on_death: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._threads = threads or torch.get_num_threads()
        self._on_batch = on_batch
        self._on_death = on_death
        self._models: dict[str, CGN] = {}
        self._times = PassTimes()
        self._orders = Orders(self._times.row_seconds)
        self._changed = threading.Condition()
        self._side_by_side = SideBySide(self._threads) if self._threads > 1 else None
        self._closed = False
        self._pass_began: float | None = None
        self._last_ended: float | None = None  # when the last passes did, if they left work
        self._thread = self._start()

    def add(self, model: CGN) -> None:
        """Makes a model's rows available under its digest."""
        with self._changed:
            self._models[model.card.digest] = model

    def remove(self, digest: str) -> None:
        """Forgets a model; rows that wait for it fail with CgnInputError."""
        with self._changed:
            self._models.pop(digest, None)
            self._times.forget(digest)

    def submit(
        self, rows: Sequence[Row], *, flow: Flow | None = None, deadline: float | None = None
    ) -> Order:
        """Queues rows; the order's future gives float32 HWC pixels, read-only, in the order asked.

        Masks are (H, W, 1) in [0, 1], textures (H, W, 3) in [-1, 1]. Rows of an order that is cancelled
        before their batch is formed cost nothing.

        Args:
            rows: of resident models.
            flow: what they share the engine's time as; None: by themselves.
            deadline: when they are of no more use, by time.monotonic(). An order that becomes late while
                it waits fails with Late.

        Raises:
            CgnInputError: a row of a model that is not resident; nothing was queued.
            Late: the deadline cannot be met; nothing was queued.
            EngineStopped: the engine takes no more.
        """
        with self._changed:
            if self._closed:
                raise EngineStopped("the engine is stopping")
            for digest in {row.digest for row in rows}:
                if digest not in self._models:
                    raise CgnInputError("model", f"no resident model has digest {digest}")
            if deadline is not None:
                self._check_time(rows, deadline)
            order = self._orders.add(rows, flow or Flow(), deadline)
            self._changed.notify()
        if order.missing:
            ended = weakref.ref(order)  # an order and its future would keep each other, and the pixels
            order.future.add_done_callback(lambda _: self._withdraw(ended()))
        else:
            order.hand_over()
        return order

    def pass_seconds(self) -> float:
        """How long the forward passes that run have taken so far; 0 if none does."""
        began = self._pass_began
        return 0.0 if began is None else time.monotonic() - began

    def stop(self) -> None:
        """Takes no more; orders that are still open fail with EngineStopped."""
        with self._changed:
            self._closed = True
            left = self._orders.open()
            self._changed.notify()
        for order in left:
            order.fail(EngineStopped("the engine is stopping"))

    def close(self) -> None:
        """Stops, and ends the thread after its pass."""
        self.stop()
        self._thread.join()
        if self._side_by_side:
            self._side_by_side.close()

    def _check_time(self, rows: Sequence[Row], deadline: float) -> None:
        """Raises Late if rows cannot be there in time."""
        own = self._times.least((row.digest, row.mechanism) for row in rows if not self._orders.knows(row))
        if queued := self._orders.queue.ahead(own):
            own, queued = own * self._times.pace(), queued * self._times.pace()
        left = deadline - time.monotonic()
        if left < max(0.0, own + queued):
            what = f"these rows take {own:.3g} s, after {queued:.3g} s of others"
            raise Late(f"{what}; {max(0.0, left):.3g} s are left", queued)

    def _withdraw(self, order: Order | None) -> None:
        if order:
            with self._changed:
                self._orders.withdraw(order)

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._live, name="cgn-engine", daemon=True)
        thread.start()
        return thread

    def _live(self) -> None:
        """The thread's life. If it ends by an exception, another thread begins with an empty queue."""
        try:
            self._run()
        except BaseException as error:
            with self._changed:
                left, self._orders = self._orders.open(), Orders(self._times.row_seconds)
                self._pass_began = self._last_ended = None
                for order in left:
                    order.missing.clear()  # its rows are in the queue that is no more
                if not self._closed:
                    self._thread = self._start()
            for order in left:
                order.fail(EngineStopped("the engine's thread has died; another one has taken its place"))
            self._on_death(error)

    def _run(self) -> None:
        # The number of OpenMP threads is a property of the calling thread, so it is set in this one.
        torch.get_num_threads()  # else torch sets what another thread has set meanwhile, at the first pass
        torch.set_num_threads(self._threads)
        while self._wait():
            self._run_passes(self._next())

    def _wait(self) -> bool:
        """Waits for rows; False when the engine has stopped."""
        with self._changed:
            while not self._orders.queue and not self._closed:
                self._changed.wait()
            return not self._closed

    def _next(self) -> list[_Pass]:
        """What is run next: one pass, or as many of small networks as run side by side."""
        passes: list[_Pass] = []
        late: set[Order] = set()
        with self._changed:
            while self._orders.queue:
                kind = self._orders.queue.first()
                model = self._models.get(kind[0])
                if passes and self._slots(model) == 1:
                    break
                # Of a model that is gone all rows at once: they only fail.
                most = model.network.batch_rows if model else 1 << 30
                batch, gone = self._orders.take(kind, most, time.monotonic() + self._times.shortest(kind))
                late |= gone
                if batch:
                    passes.append(_Pass(kind, model, batch, most))
                if len(passes) >= self._slots(model):
                    break
        for order in late:
            order.fail(Late("the deadline would have passed before these rows were there"))
        return passes

    def _slots(self, model: CGN | None) -> int:
        """How many passes of a model run side by side."""
        if not model or not self._side_by_side or not model.network.small or model.device.type != "cpu":
            return 1
        return self._side_by_side.count

    def _run_passes(self, passes: Sequence[_Pass]) -> None:
        """Runs what _next() gave, or some of it; hands out rows and errors."""
        if not passes:  # all rows were given up meanwhile
            return
        start = self._pass_began = time.monotonic()
        try:
            outcomes = self._outcomes(passes)
        finally:
            self._pass_began = None
        ended = time.monotonic()
        since_last = None if self._last_ended is None else (ended - self._last_ended) / len(passes)
        again: list[_Pass] = []
        for one, outcome in zip(passes, outcomes, strict=True):
            if not isinstance(outcome, Exception):
                self._finish(one, outcome, start, since_last)
            elif len(one.batch) > 1 and one.model and not isinstance(outcome, OutOfMemory):
                # One of its rows is bad; its mates are not.
                again += [_Pass(one.kind, one.model, [wanted], one.most) for wanted in one.batch]
            else:
                self._fail(one.batch, outcome)
        with self._changed:
            self._last_ended = ended if self._orders.queue and not again else None
        for one in again:
            self._run_passes([one])

    def _outcomes(self, passes: Sequence[_Pass]) -> list[_Made | Exception]:
        """What every pass has made, or why it has not."""
        if self._side_by_side and self._slots(passes[0].model) > 1:
            ended = self._side_by_side.run([partial(_outcome, one) for one in passes])
            return [future.result() for future in ended]
        return [_outcome(one) for one in passes]

    def _finish(self, one: _Pass, made: _Made, start: float, since_last: float | None) -> None:
        """Hands out the rows of a pass; its measures are kept (see PassTimes.add)."""
        assert one.model
        card, mechanism, rows = one.model.card, one.kind[1], len(one.batch)
        waits = [start - wanted.since for wanted in one.batch]
        closed_by: Literal["full", "drained"] = "full" if rows == one.most else "drained"
        self._on_batch(Batch(card, mechanism, rows, closed_by, waits, made.seconds))
        with self._changed:
            complete = self._orders.fill(zip(one.batch, made.pixels, strict=True))
            self._times.add(one.kind, made.seconds, made.drawn, one.most, self._slots(one.model), since_last)
        for order in complete:
            order.hand_over()

    def _fail(self, batch: Collection[Wanted], error: Exception) -> None:
        """Fails every order that waits for one of these rows; they keep nobody else's from being made."""
        with self._changed:
            hit = self._orders.give_up(batch)
        for order in hit:
            order.fail(error)


def _outcome(one: _Pass) -> _Made | Exception:
    """What a pass makes, in the calling thread, or why it does not."""
    if not one.model:
        return CgnInputError("model", f"digest {one.kind[0]} was unloaded")
    start = time.monotonic()
    try:
        pixels = _compute(one.model, one.batch)
    except Exception as error:
        return error
    seconds = time.monotonic() - start
    return _Made(pixels, seconds, one.model.network.pass_rows(one.kind[1], len(one.batch)))


def _compute(model: CGN, batch: Sequence[Wanted]) -> list[Pixels]:
    """The rows of one mechanism, each an array of its own: a cached row must not keep its batch alive."""
    factors = [wanted.row.factor for wanted in batch]
    rows_NHWC = rows_of(model, batch[0].row.mechanism, factors).permute(0, 2, 3, 1).contiguous().numpy()
    pixels = [row.copy() for row in rows_NHWC]
    for row in pixels:
        row.flags.writeable = False
    return pixels
