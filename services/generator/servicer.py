"""GeneratorService: request -> plan -> rows (cache or engine) -> compose and encode -> response."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from google.protobuf import empty_pb2

from cgn.card import ModelCard
from cgn.engine import Row
from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1 import generator_pb2_grpc as pb_grpc
from common.metrics import GeneratorMetrics
from services.generator.answers.composites import answer
from services.generator.answers.tally import Tally
from services.generator.models.describe import describe, page
from services.generator.models.models import Models
from services.generator.plan.generate import RAW_ITEM_BYTES, Plan, plan
from services.generator.rows.admission import Admission
from services.generator.rows.source import Found, RowSource
from services.generator.streams import Streams

# What the event loop does itself, for a hop to a thread would take longer: composites of a request that are
# planned, and pixels of raw images that are composed.
_PLANNED_AT_ONCE, _COMPOSED_AT_ONCE = 64, 1 << 16

T = TypeVar("T")


class GeneratorServicer(pb_grpc.GeneratorServiceServicer):
    """The RPCs. Torch runs in the engine's thread, composing and encoding in `pool`.

    Args:
        draining: set when the server is to end; it ends streams.
    """

    def __init__(
        self,
        models: Models,
        rows: RowSource,
        admission: Admission,
        pool: ThreadPoolExecutor,
        metrics: GeneratorMetrics,
        draining: asyncio.Event,
    ) -> None:
        self._models = models
        self._rows = rows
        self._admission = admission
        self._pool = pool
        self._tally = Tally(metrics)
        self._streams = Streams(rows, admission, pool, self._tally, draining)

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> pb.GenerateResponse:
        async with self._models.serving(request.model, request.version) as card:
            with self._admission.admitted(card, 1):  # a full house refuses before it plans
                todo, rows = await self._plan(request, card)
            with self._admission.admitted(card, len(rows)):
                found = await self._rows.find(rows, card, todo.dtype, context)
                self._rows.answers.begin(context)
                if _soon_answered(todo):
                    return self._answer(todo, found)
                return await self._in_pool(self._answer, todo, found)

    async def Interpolate(
        self, request: pb.InterpolateRequest, context: Any
    ) -> AsyncIterator[pb.InterpolateResponse]:
        async with self._models.serving(request.model, request.version) as card:
            async for part in self._streams.interpolate(request, card, context):
                yield part

    async def GenerateProduct(
        self, request: pb.GenerateProductRequest, context: Any
    ) -> AsyncIterator[pb.GenerateProductResponse]:
        async with self._models.serving(request.model, request.version) as card:
            async for part in self._streams.product(request, card, context):
                yield part

    async def Sample(self, request: pb.SampleRequest, context: Any) -> AsyncIterator[pb.SampleResponse]:
        async with self._models.serving(request.model, request.version) as card:
            async for part in self._streams.samples(request, card, context):
                yield part

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        return page(self._models.all(), request.page_size, request.page_token)

    async def GetModel(self, request: pb.GetModelRequest, context: Any) -> pb.Model:
        return describe(self._models.find(request.model, request.version))

    async def LoadModel(self, request: pb.LoadModelRequest, context: Any) -> pb.Model:
        return describe(await self._models.load(request.model, request.version))

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: Any) -> pb.Model:
        return describe(self._models.unload(request.model, request.version))

    async def DeleteModel(self, request: pb.DeleteModelRequest, context: Any) -> empty_pb2.Empty:
        await self._models.delete(request.model, request.version)
        return empty_pb2.Empty()

    async def SetAlias(self, request: pb.SetAliasRequest, context: Any) -> pb.Model:
        return describe(await self._models.set_alias(request.model, request.alias, request.version))

    async def _plan(self, request: pb.GenerateRequest, card: ModelCard) -> tuple[Plan, list[Row]]:
        """The plan of a request and its distinct rows."""

        def work() -> tuple[Plan, list[Row]]:
            todo = plan(request, card)
            return todo, todo.all_rows()

        if len(request.composites) <= _PLANNED_AT_ONCE:
            return work()
        return await self._in_pool(work)

    async def _in_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def _answer(self, todo: Plan, found: Found) -> pb.GenerateResponse:
        """The response, counted."""
        masks = self._tally.masks(todo, found.pixels)
        response = answer(todo, found.pixels, found.cached, masks)
        self._tally.count(todo, masks)
        return response


def _soon_answered(todo: Plan) -> bool:
    """Whether the event loop composes an answer itself."""
    pixels = todo.composites * len(todo.outputs) * todo.card.resolution**2
    return todo.encoding in RAW_ITEM_BYTES and pixels <= _COMPOSED_AT_ONCE
