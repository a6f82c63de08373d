"""Rows for requests: found in a cache or computed, and counted."""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from cgn.card import ModelCard
from cgn.engine import Batch, DeadlineExceeded, Engine, EngineStopped, Flow, OutOfMemory, Row, RowRequest
from cgn.errors import CgnInputError
from cgn.images.pixels import rows_to_uint8
from cgn.noise import Mechanism
from common.metrics import GeneratorMetrics
from services.errors import ApiError
from services.generator.rows.admission import RETRY_SECONDS
from services.generator.rows.answer_times import AnswerTimes
from services.generator.rows.cache import RowCache
from services.generator.rows.redis_tier import DType, Pixels
from services.generator.rows.slices import in_slices

_QUEUED_AT_ONCE = 256  # rows that are queued on the event loop; more would hold it up


@dataclass(frozen=True)
class Found:
    """Rows that answers are made from; cached: those that no forward pass was run for."""

    pixels: Mapping[Row, Pixels]
    cached: set[Row]


def observe_batch(metrics: GeneratorMetrics, batch: Batch) -> None:
    """Counts a forward pass of the engine."""
    mechanism = batch.mechanism
    metrics.batch_rows.labels(mechanism).observe(batch.rows)
    metrics.batches.labels(mechanism, batch.closed_by).inc()
    metrics.forward_seconds.labels(mechanism).observe(batch.forward_seconds)
    queue_wait = metrics.queue_wait_seconds.labels(mechanism)
    for seconds in batch.queue_waits:
        queue_wait.observe(seconds)


class RowSource:
    """Where handlers get rows from. Lives on the event loop; torch runs in the engine's thread.

    Attributes:
        answers: what is left of a deadline for rows is less by what these take.
    """

    def __init__(
        self, engine: Engine, cache: RowCache, pool: ThreadPoolExecutor, metrics: GeneratorMetrics
    ) -> None:
        self._engine = engine
        self._cache = cache
        self._pool = pool
        self._metrics = metrics
        self.answers = AnswerTimes()

    async def find(
        self, rows: Sequence[Row], card: ModelCard, dtype: DType, context: Any, flow: Flow | None = None
    ) -> Found:
        """The pixels of distinct rows of one model, from a cache or computed.

        Args:
            rows: distinct, all of the card's model.
            dtype: what they are wanted as.
            context: of the RPC that wants them, for its deadline.
            flow: what the parts of a long answer share the engine's time as; None: by themselves.

        Raises:
            ApiError: DEADLINE_EXCEEDED (DEADLINE_TOO_SHORT) if they cannot be there in time, NOT_FOUND if the
                model goes away meanwhile, RESOURCE_EXHAUSTED (OUT_OF_MEMORY), or UNAVAILABLE
                (ENGINE_STOPPED) if the engine stops or begins anew.
        """
        remaining = context.time_remaining()
        deadline = None if remaining is None else time.monotonic() + remaining - self.answers.seconds()
        # Half of the time is for computing what Redis has not, or does not say.
        cached = await self._cache.get(rows, dtype, math.inf if remaining is None else remaining / 2)
        pixels = {row: found for row, (found, _) in cached.items()}
        sources = Counter[tuple[Mechanism, str]]((row.mechanism, cached[row][1]) for row in cached)
        if missing := [row for row in rows if row not in cached]:
            with self._errors(card):
                fresh, shared = await self._computed(missing, flow, deadline)
            sources.update((row.mechanism, "shared" if row in shared else "computed") for row in missing)
            pixels |= await self._kept(missing, fresh, dtype)
        for (mechanism, source), count in sources.items():
            self._metrics.rows.labels(card.name, card.version, mechanism, source).inc(count)
        return Found(pixels, set(cached))

    async def _computed(
        self, rows: Sequence[Row], flow: Flow | None, deadline: float | None
    ) -> tuple[list[NDArray[np.float32]], set[Row]]:
        """The engine's pixels of rows, and those of them that it computed for another caller too."""
        submit = partial(self._engine.submit, rows, flow=flow, deadline=deadline)
        if len(rows) <= _QUEUED_AT_ONCE:
            order = submit()
        else:
            queued = self._pool.submit(submit)
            try:
                order = await asyncio.wrap_future(queued)
            except asyncio.CancelledError:  # the caller has gone; the order may be on its way
                queued.add_done_callback(_drop)
                raise
        # If this is cancelled, so is the order.
        return await asyncio.wrap_future(order.future), order.shared

    async def _kept(
        self, rows: Sequence[Row], fresh: Sequence[NDArray[np.float32]], dtype: DType
    ) -> dict[Row, Pixels]:
        """Computed rows as they are wanted, and cached."""
        kept: Sequence[Pixels] = fresh
        if dtype == "uint8":
            loop = asyncio.get_running_loop()
            kept = await loop.run_in_executor(self._pool, rows_to_uint8, fresh)
        pixels = dict(zip(rows, kept, strict=True))
        async for part in in_slices(rows):
            for row in part:
                self._cache.put(row, pixels[row])
        return pixels

    @contextlib.contextmanager
    def _errors(self, card: ModelCard) -> Iterator[None]:
        """Turns what the engine raises into what is said of it, and counts refusals."""
        try:
            yield
        except CgnInputError as error:  # the only one that a valid plan can meet: the model has gone
            message = f"{error}; it was removed while the request waited"
            raise ApiError(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", message) from error
        except DeadlineExceeded as error:
            self._metrics.refusals.labels(card.name, card.version, "deadline").inc()
            kept = f", {self.answers.seconds():.3g} s being kept for composing and sending"
            message = (
                f"{error}{kept}; allow more time, ask for fewer images, or try again when fewer are asked for"
            )
            raise ApiError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "DEADLINE_TOO_SHORT",
                message,
                retry_seconds=error.queued_seconds or None,
            ) from error
        except OutOfMemory as error:
            self._metrics.refusals.labels(card.name, card.version, "out_of_memory").inc()
            raise ApiError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "OUT_OF_MEMORY",
                str(error),
                retry_seconds=RETRY_SECONDS,
            ) from error
        except EngineStopped as error:
            raise ApiError(
                grpc.StatusCode.UNAVAILABLE,
                "ENGINE_STOPPED",
                f"{error}; try again, or another server",
                retry_seconds=RETRY_SECONDS,
            ) from error


def _drop(queued: "Future[RowRequest]") -> None:
    if not queued.cancelled() and not queued.exception():
        queued.result().future.cancel()
