"""The engine: one thread that runs forward passes, batching rows of all callers by mechanism."""

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from cgn.card import ModelCard
from cgn.engine.fair_queue import Flow
from cgn.engine.forward import OutOfMemory, rows_of
from cgn.engine.orders import Order, Orders, Pixels, Wanted
from cgn.engine.pass_times import PassTimes
from cgn.engine.rows import Row
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


class Engine:
    """Models resident on one device, and the thread that runs them.

    A pass takes what waits when the device is free, so that batches grow with the load and an idle engine
    adds no wait. Whose rows come first: cgn.engine.fair_queue. Rows that two callers want at the same time
    are computed once.

    Args:
        threads: CPU threads of a forward pass; 0: torch's default. The same pixels to the bit are
            promised for one machine, torch build and thread count.
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
        self._closed = False
        self._pass_began: float | None = None
        self._last_ended: float | None = None  # when the last pass did, if it left work
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
        """How long the forward pass that runs has taken so far; 0 if none does."""
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

    def _check_time(self, rows: Sequence[Row], deadline: float) -> None:
        """Raises Late if rows cannot be there in time."""
        new = Counter((row.digest, row.mechanism) for row in rows if not self._orders.knows(row))
        own = sum(self._times.seconds(kind, count) for kind, count in new.items())
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
            self._pass()

    def _wait(self) -> bool:
        """Waits for rows; False when the engine has stopped."""
        with self._changed:
            while not self._orders.queue and not self._closed:
                self._changed.wait()
            return not self._closed

    def _pass(self) -> None:
        with self._changed:
            if not self._orders.queue:  # cancelled meanwhile
                return
            kind = self._orders.queue.first()
            model = self._models.get(kind[0])
            # Of a model that is gone all rows at once: they only fail.
            most = model.network.batch_rows if model else 1 << 30
            batch, late = self._orders.take(kind, most, time.monotonic() + self._times.seconds(kind, 1))
        for order in late:
            order.fail(Late("the deadline would have passed before these rows were there"))
        if batch and model:
            self._forward(model, batch, most)
        elif batch:
            self._fail(batch, CgnInputError("model", f"digest {kind[0]} was unloaded"))

    def _forward(self, model: CGN, batch: list[Wanted], most: int) -> None:
        mechanism = batch[0].row.mechanism
        start = self._pass_began = time.monotonic()
        try:
            pixels = _compute(model, batch)
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, OutOfMemory):
                for wanted in batch:  # one of them is bad; its mates are not
                    self._forward(model, [wanted], most)
            else:
                self._fail(batch, error)
            return
        finally:
            self._pass_began = None
        seconds = time.monotonic() - start
        waits = [start - wanted.since for wanted in batch]
        closed_by: Literal["full", "drained"] = "full" if len(batch) == most else "drained"
        self._on_batch(Batch(model.card, mechanism, len(batch), closed_by, waits, seconds))
        with self._changed:
            drawn = model.network.pass_rows(mechanism, len(batch))
            complete = self._orders.fill(zip(batch, pixels, strict=True))
            now = time.monotonic()
            since_last = None if self._last_ended is None else now - self._last_ended
            self._times.add((model.card.digest, mechanism), seconds, drawn, most, since_last)
            self._last_ended = now if self._orders.queue else None
        for order in complete:
            order.hand_over()

    def _fail(self, batch: Collection[Wanted], error: Exception) -> None:
        """Fails every order that waits for one of these rows; they keep nobody else's from being made."""
        with self._changed:
            hit = self._orders.give_up(batch)
        for order in hit:
            order.fail(error)


def _compute(model: CGN, batch: Sequence[Wanted]) -> list[Pixels]:
    """The rows of one mechanism, each an array of its own: a cached row must not keep its batch alive."""
    factors = [wanted.row.factor for wanted in batch]
    rows_NHWC = rows_of(model, batch[0].row.mechanism, factors).permute(0, 2, 3, 1).contiguous().numpy()
    pixels = [row.copy() for row in rows_NHWC]
    for row in pixels:
        row.flags.writeable = False
    return pixels
