"""The engine: one thread that runs forward passes, batching rows of all callers by mechanism."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from cgn.card import ModelCard
from cgn.engine.rows import Row
from cgn.errors import CgnInputError
from cgn.model import BATCH_ROWS, CGN
from cgn.noise import Mechanism

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """What happened in one forward pass.

    Attributes:
        card: of the model that ran.
        mechanism: which mechanism ran.
        rows: rows asked for, padding not counted, 1 to BATCH_ROWS.
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


@dataclass(frozen=True, slots=True)
class _Pending:
    row: Row
    future: "Future[Pixels]"
    since: float


class Engine:
    """Models resident on one device, and the thread that runs them.

    Args:
        threads: CPU threads of a forward pass; 0: torch's default. The same pixels to the bit are
            promised for one machine, torch build and thread count.
        on_batch: called in the engine's thread after each forward pass, before its rows are handed out.
    """

    def __init__(self, threads: int = 0, on_batch: Callable[[Batch], None] = lambda batch: None) -> None:
        self._threads = threads
        self._on_batch = on_batch
        self._models: dict[str, CGN] = {}
        self._queues: dict[tuple[str, Mechanism], deque[_Pending]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="cgn-engine", daemon=True)
        self._thread.start()

    def add(self, model: CGN) -> None:
        """Makes a model's rows available under its digest."""
        with self._changed:
            self._models[model.card.digest] = model

    def remove(self, digest: str) -> None:
        """Forgets a model; rows that wait for it fail with CgnInputError."""
        with self._changed:
            self._models.pop(digest, None)

    def submit(self, rows: Sequence[Row]) -> "list[Future[Pixels]]":
        """Queues rows; each future gives float32 HWC pixels.

        Masks are (H, W, 1) in [0, 1], textures (H, W, 3) in [-1, 1]. A future cancelled before its
        batch is formed costs nothing.

        Raises:
            CgnInputError: a row of a model that is not resident; nothing was queued.
            RuntimeError: the engine is closed.
        """
        now = time.monotonic()
        with self._changed:
            if self._closed:
                raise RuntimeError("the engine is closed")
            for row in rows:
                if row.digest not in self._models:
                    raise CgnInputError("model", f"no resident model has digest {row.digest}")
            pending = [_Pending(row, Future(), now) for row in rows]
            for item in pending:
                self._queues.setdefault((item.row.digest, item.row.mechanism), deque()).append(item)
            self._changed.notify()
        return [item.future for item in pending]

    def close(self) -> None:
        """Ends the thread; rows still queued are cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        for queue in self._queues.values():
            for item in queue:
                item.future.cancel()

    def _run(self) -> None:
        # The number of OpenMP threads is a property of the calling thread, so it is set in this one.
        if self._threads:
            torch.set_num_threads(self._threads)
        while True:
            with self._changed:
                while not self._queues and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                batch, closed_by = self._take()
                model = self._models.get(batch[0].row.digest) if batch else None
            if batch:
                self._forward(model, batch, closed_by)

    def _take(self) -> tuple[list[_Pending], Literal["full", "drained"]]:
        """Up to BATCH_ROWS rows of the mechanism whose first row has waited longest."""
        key = min(self._queues, key=lambda k: self._queues[k][0].since)
        queue = self._queues[key]
        batch: list[_Pending] = []
        while queue and len(batch) < BATCH_ROWS:
            item = queue.popleft()
            if item.future.set_running_or_notify_cancel():
                batch.append(item)
        if not queue:
            del self._queues[key]
        return batch, "full" if len(batch) == BATCH_ROWS else "drained"

    def _forward(
        self, model: CGN | None, batch: list[_Pending], closed_by: Literal["full", "drained"]
    ) -> None:
        mechanism = batch[0].row.mechanism
        start = time.monotonic()
        try:
            if model is None:
                raise CgnInputError("model", f"digest {batch[0].row.digest} was unloaded")
            factors = [item.row.factor for item in batch]
            rows_NHWC = model.rows(mechanism, factors).permute(0, 2, 3, 1).contiguous().numpy()
            seconds = time.monotonic() - start
            waits = [start - item.since for item in batch]
            self._on_batch(Batch(model.card, mechanism, len(batch), closed_by, waits, seconds))
        except Exception as error:  # the callers' futures carry it; the thread must live on
            for item in batch:
                item.future.set_exception(error)
            return
        for item, pixels in zip(batch, rows_NHWC, strict=True):
            item.future.set_result(pixels.copy())  # a cached row must not keep its whole batch alive
