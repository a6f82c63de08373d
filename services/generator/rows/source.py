"""Fetches the rows of requests from the cache or the engine, and counts them."""

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
from cgn.engine import Batch, DeadlineExceeded, Engine, EngineStopped, OutOfMemory, Row, RowRequest
from cgn.errors import CgnInputError
from cgn.images.pixels import rows_to_uint8
from cgn.noise import Mechanism
from common.metrics import GeneratorMetrics
from services.errors import ApiError
from services.generator.plan.types import DType, Pixels
from services.generator.rows.admission import RETRY_SECONDS
from services.generator.rows.cache import RowCache
from services.generator.rows.slices import in_slices

_QUEUED_AT_ONCE = 256  # rows that are submitted on the event loop; more rows would block it


@dataclass(frozen=True)
class FetchedRows:
    """The rows that an answer is made from.

    Attributes:
        pixels: of each row, in the requested data type.
        cached: the rows that came from a cache, without a forward pass.
    """

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
    """Fetches rows: from the cache, or else from the engine. Lives on the event loop."""

    def __init__(
        self, engine: Engine, cache: RowCache, pool: ThreadPoolExecutor, metrics: GeneratorMetrics
    ) -> None:
        self._engine = engine
        self._cache = cache
        self._pool = pool
        self._metrics = metrics

    async def fetch(
        self, rows: Sequence[Row], card: ModelCard, dtype: DType, context: Any, answer_seconds: float
    ) -> FetchedRows:
        """Fetches distinct rows of one model.

        Args:
            rows: distinct rows of the card's model.
            card: the model's card.
            dtype: data type of the pixels.
            context: the RPC's context; its deadline is the rows' deadline.
            answer_seconds: the part of the remaining time that is kept for composing and sending.

        Raises:
            ApiError: DEADLINE_EXCEEDED (DEADLINE_TOO_SHORT) if the rows cannot be computed in time, NOT_FOUND
                if the model is removed meanwhile, RESOURCE_EXHAUSTED (OUT_OF_MEMORY), or UNAVAILABLE
                (ENGINE_STOPPED) if the engine stops or restarts.
        """
        remaining = context.time_remaining()
        deadline = None if remaining is None else time.monotonic() + remaining - answer_seconds
        # Redis may take half of the time; the other half is for computing the rows that it does not have.
        cached = await self._cache.get(rows, dtype, math.inf if remaining is None else remaining / 2)
        pixels = {row: array for row, (array, _) in cached.items()}
        sources = Counter[tuple[Mechanism, str]]((row.mechanism, cached[row][1]) for row in cached)
        if missing := [row for row in rows if row not in cached]:
            with self._errors(card, answer_seconds):
                computed, shared = await self._compute(missing, deadline)
            sources.update((row.mechanism, "shared" if row in shared else "computed") for row in missing)
            pixels |= await self._store(missing, computed, dtype)
        for (mechanism, source), count in sources.items():
            self._metrics.rows.labels(card.name, card.version, mechanism, source).inc(count)
        return FetchedRows(pixels, set(cached))

    async def _compute(
        self, rows: Sequence[Row], deadline: float | None
    ) -> tuple[list[NDArray[np.float32]], set[Row]]:
        """The pixels of rows from the engine, and the rows that it computed for another caller as well."""
        submit = partial(self._engine.submit, rows, deadline=deadline)
        if len(rows) <= _QUEUED_AT_ONCE:
            request = submit()
        else:
            submitting = self._pool.submit(submit)
            try:
                request = await asyncio.wrap_future(submitting)
            except asyncio.CancelledError:  # the caller has gone; its rows may still be submitted
                submitting.add_done_callback(_cancel_rows)
                raise
        # Cancelling this cancels the row request.
        return await asyncio.wrap_future(request.future), request.shared

    async def _store(
        self, rows: Sequence[Row], computed: Sequence[NDArray[np.float32]], dtype: DType
    ) -> dict[Row, Pixels]:
        """Converts computed rows to the data type and caches them."""
        converted: Sequence[Pixels] = computed
        if dtype == "uint8":
            loop = asyncio.get_running_loop()
            converted = await loop.run_in_executor(self._pool, rows_to_uint8, computed)
        pixels = dict(zip(rows, converted, strict=True))
        async for part in in_slices(rows):
            for row in part:
                self._cache.put(row, pixels[row])
        return pixels

    @contextlib.contextmanager
    def _errors(self, card: ModelCard, answer_seconds: float) -> Iterator[None]:
        """Turns the engine's errors into ApiErrors, and counts refusals."""
        try:
            yield
        except CgnInputError as error:  # with a valid plan it has one cause: the model was removed
            message = f"{error}; it was removed while the request waited"
            raise ApiError(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", message) from error
        except DeadlineExceeded as error:
            self._metrics.refusals.labels(card.name, card.version, "deadline").inc()
            reserved = f"{answer_seconds:.3g} s of the time are reserved for composing and sending"
            cure = "allow more time, ask for fewer images, or try again when the load is lower"
            message = f"{error}; {reserved}; {cure}"
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


def _cancel_rows(submitting: "Future[RowRequest]") -> None:
    if not submitting.cancelled() and not submitting.exception():
        submitting.result().future.cancel()
