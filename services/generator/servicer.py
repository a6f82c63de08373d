"""GeneratorService: request -> plan -> rows (cache or engine) -> compose and encode -> response."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from cgn.card import ModelCard
from cgn.engine import Batch, Engine, Row
from cgn.errors import CgnInputError
from cgn.pixels import to_uint8
from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1 import generator_pb2_grpc as pb_grpc
from common.metrics import GeneratorMetrics
from services.errors import ApiError
from services.generator.answer import answer, border_and_soft
from services.generator.describe import describe, page
from services.generator.models import Models
from services.generator.row_cache import DType, Pixels, RowCache, Tier
from services.generator.slices import in_slices
from services.generator.validate import Plan, plan

SERVICE_NAME = "cgn_api.v1.GeneratorService"
# Rows of all requests being answered; past it a request would only wait, and hold memory.
MAX_ROWS_IN_FLIGHT = 65_536
_RETRY_SECONDS = 1.0
# Composites of a request that is planned on the event loop: a hop to a thread would take longer.
_PLANNED_AT_ONCE = 64


def observe_batch(metrics: GeneratorMetrics, batch: Batch) -> None:
    """Counts a forward pass of the engine."""
    mechanism = batch.mechanism
    metrics.batch_rows.labels(mechanism).observe(batch.rows)
    metrics.batches.labels(mechanism, batch.closed_by).inc()
    metrics.forward_seconds.labels(mechanism).observe(batch.forward_seconds)
    queue_wait = metrics.queue_wait_seconds.labels(mechanism)
    for seconds in batch.queue_waits:
        queue_wait.observe(seconds)


class GeneratorServicer(pb_grpc.GeneratorServiceServicer):
    """The RPCs. Torch runs in the engine's thread, composing and encoding in `pool`."""

    def __init__(
        self,
        models: Models,
        engine: Engine,
        cache: RowCache,
        pool: ThreadPoolExecutor,
        metrics: GeneratorMetrics,
    ) -> None:
        self._models = models
        self._engine = engine
        self._cache = cache
        self._pool = pool
        self._metrics = metrics
        self._rows_in_flight = 0

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> pb.GenerateResponse:
        card = self._models.find(request.model, request.version).card
        with self._admitted(1):  # a full house refuses before it plans
            todo, rows = await self._plan(request, card)
        with self._admitted(len(rows)):
            cached = await self._cache.get(rows, todo.dtype)
            pixels = {row: found for row, (found, _) in cached.items()}
            missing = [row for row in rows if row not in cached]
            if missing:
                _check_deadline(context)
                pixels |= await self._compute(missing, todo.dtype)
            tiers = {row: tier for row, (_, tier) in cached.items()}
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._answer, todo, pixels, missing, tiers)

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        return page(self._models.all(), request.page_size, request.page_token)

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.Model:
        return describe(self._models.find(request.model, request.version))

    @contextlib.contextmanager
    def _admitted(self, rows: int) -> Iterator[None]:
        """Holds a share of the rows in flight; refuses the request if there is not that much left."""
        if self._rows_in_flight + rows > MAX_ROWS_IN_FLIGHT:
            raise ApiError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "OVERLOADED",
                f"{self._rows_in_flight} rows are in flight and at most {MAX_ROWS_IN_FLIGHT} may be; "
                "try again later or ask for fewer images",
                retry_seconds=_RETRY_SECONDS,
            )
        self._rows_in_flight += rows
        try:
            yield
        finally:
            self._rows_in_flight -= rows

    async def _plan(self, request: pb.GenerateRequest, card: ModelCard) -> tuple[Plan, list[Row]]:
        """The plan of a request and its distinct rows."""

        def work() -> tuple[Plan, list[Row]]:
            todo = plan(request, card)
            return todo, todo.rows()

        if len(request.composites) <= _PLANNED_AT_ONCE:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _compute(self, rows: Sequence[Row], dtype: DType) -> dict[Row, Pixels]:
        """Runs the mechanisms for rows, and caches what they give."""
        futures: list[asyncio.Future[NDArray[np.float32]]] = []
        try:
            try:
                async for part in in_slices(rows):
                    futures += map(asyncio.wrap_future, self._engine.submit(part))
                fresh = await asyncio.gather(*futures)
            except BaseException:  # the caller is gone or a row failed: nobody waits for the others
                for future in futures:
                    future.cancel()
                raise
        except CgnInputError as error:  # the only one that a valid plan can meet: the model has gone
            message = f"{error}; it was removed while the request waited"
            raise ApiError(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", message) from error
        computed: dict[Row, Pixels] = dict(zip(rows, fresh, strict=True))
        if dtype == "uint8":
            loop = asyncio.get_running_loop()
            levels = await loop.run_in_executor(self._pool, lambda: [to_uint8(row) for row in fresh])
            computed = dict(zip(rows, levels, strict=True))
        async for part in in_slices(rows):
            for row in part:
                self._cache.put(row, computed[row])
        return computed

    def _answer(
        self, todo: Plan, pixels: Mapping[Row, Pixels], computed: list[Row], cached: dict[Row, Tier]
    ) -> pb.GenerateResponse:
        """The response, counted. For a thread of the pool."""
        response = answer(todo, pixels, set(cached))
        self._count(todo, computed, cached)
        self._count_masks(todo, response, pixels)
        return response

    def _count(self, todo: Plan, computed: list[Row], cached: dict[Row, Tier]) -> None:
        name, version = todo.card.name, todo.card.version
        metrics = self._metrics
        metrics.images.labels(name, version).inc(len(todo.composites) * len(todo.outputs))
        rows_by_source: Counter[tuple[str, str]] = Counter()
        rows_by_source.update((row.mechanism, tier) for row, tier in cached.items())
        rows_by_source.update((row.mechanism, "computed") for row in computed)
        for (mechanism, source), rows in rows_by_source.items():
            metrics.rows.labels(name, version, mechanism, source).inc(rows)

    def _count_masks(self, todo: Plan, response: pb.GenerateResponse, pixels: Mapping[Row, Pixels]) -> None:
        """Measures every served mask against collapse; one that several composites share counts for each."""
        name, version = todo.card.name, todo.card.version
        metrics = self._metrics
        measured: dict[Row, tuple[float, float]] = {}
        for rows, result in zip(todo.composites, response.results, strict=True):
            if not (shape := rows.get("shape")):
                continue
            if shape not in measured:
                measured[shape] = border_and_soft(pixels[shape])
            border, soft = measured[shape]
            by_class = name, version, result.shape.label_name
            metrics.mu_mask.labels(*by_class).observe(result.mu_mask)
            metrics.mask_border.labels(*by_class).observe(border)
            metrics.mask_soft.labels(*by_class).observe(soft)


def _check_deadline(context: Any) -> None:
    """Refuses to compute for a caller who has stopped waiting."""
    remaining = context.time_remaining()
    if remaining is not None and remaining <= 0:
        raise ApiError(
            grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline passed before any work"
        )
