"""GeneratorService: request -> plan -> rows (cache or engine) -> compose and encode -> response."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
from google.protobuf import empty_pb2

from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1 import generator_pb2_grpc as pb_grpc
from services.errors import ApiError
from services.generator.answers.animate import animate
from services.generator.answers.answerer import Answerer
from services.generator.answers.batches import product_chunk, sample_batch
from services.generator.answers.responses import generate_response
from services.generator.models.describe import describe, page
from services.generator.models.models import Models
from services.generator.plan.generate import plan_generate
from services.generator.plan.interpolate import plan_interpolation
from services.generator.plan.product import plan_product
from services.generator.plan.sample import plan_samples
from services.generator.plan.sizes import PART_BYTES
from services.generator.rows.admission import RETRY_SECONDS
from services.generator.rows.held_rows import HeldRows

_COMPOSITES_ON_LOOP = 64  # a request of at most so many is planned on the event loop, not in a thread


class GeneratorServicer(pb_grpc.GeneratorServiceServicer):
    """The RPCs.

    A stream builds a part, ends the work of that part, and then sends it. So a client who reads slowly has no
    work in flight. Parts are not built ahead, except for what the connection's own buffers hold.

    Args:
        models: the models that can be requested.
        answerer: makes answers from plans.
        draining: set when the server shuts down; products and samples then end between two parts.
    """

    def __init__(self, models: Models, answerer: Answerer, draining: asyncio.Event) -> None:
        self._models = models
        self._answerer = answerer
        self._draining = draining

    async def Generate(self, request: pb.GenerateRequest, context: Any) -> pb.GenerateResponse:
        async with self._models.serving(request.model, request.version) as card:
            self._answerer.check_room(card)
            if len(request.composites) <= _COMPOSITES_ON_LOOP:
                plan = plan_generate(request, card)
            else:
                plan = await self._answerer.run(plan_generate, request, card)
            return await self._answerer.answer(plan, generate_response, context)

    async def Interpolate(
        self, request: pb.InterpolateRequest, context: Any
    ) -> AsyncIterator[pb.InterpolateResponse]:
        """The frames one by one, or the animation of them."""
        async with self._models.serving(request.model, request.version) as card:
            interpolation = plan_interpolation(request, card)
            images: list[pb.Image] = []
            index = 0
            for ts, plan in interpolation.parts():
                part = await self._answerer.answer(plan, generate_response, context, streamed=True)
                if interpolation.animation:
                    images += [result.images[0] for result in part.results]
                    continue
                for t, result in zip(ts, part.results, strict=True):
                    response = pb.GenerateResponse(
                        model=part.model,
                        version=part.version,
                        digest=part.digest,
                        encoding=part.encoding,
                        results=[result],
                    )
                    yield pb.InterpolateResponse(frame=pb.Frame(index=index, share=t, response=response))
                    index += 1
            if interpolation.animation:
                file = await self._answerer.run(
                    animate, images, interpolation.animation, interpolation.frames_per_second
                )
                for start in range(0, len(file), PART_BYTES):
                    yield pb.InterpolateResponse(animation=file[start : start + PART_BYTES])

    async def GenerateProduct(
        self, request: pb.GenerateProductRequest, context: Any
    ) -> AsyncIterator[pb.GenerateProductResponse]:
        """The header and the chunks of a product."""
        async with self._models.serving(request.model, request.version) as card:
            product = await self._answerer.run(plan_product, request, card)
            yield pb.GenerateProductResponse(header=product.header)
            held = HeldRows()
            for start in product.starts():
                self._check_not_draining()
                plan = await self._answerer.run(product.chunk, start)
                chunk = await self._answerer.answer(
                    plan, partial(product_chunk, start), context, streamed=True, held=held
                )
                yield pb.GenerateProductResponse(chunk=chunk)

    async def Sample(self, request: pb.SampleRequest, context: Any) -> AsyncIterator[pb.SampleResponse]:
        """The header and the batches of a stream of samples."""
        async with self._models.serving(request.model, request.version) as card:
            samples = plan_samples(request, card)
            yield pb.SampleResponse(header=samples.header)
            for start in samples.starts():
                self._check_not_draining()
                batch = await self._answerer.run(samples.batch, start)
                message = await self._answerer.answer(
                    batch.plan, partial(sample_batch, batch), context, streamed=True
                )
                yield pb.SampleResponse(batch=message)

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

    def _check_not_draining(self) -> None:
        """Ends a stream that another server can continue. Raises ApiError, UNAVAILABLE, while draining."""
        if self._draining.is_set():
            raise ApiError(
                grpc.StatusCode.UNAVAILABLE,
                "SHUTTING_DOWN",
                "the server is shutting down; go on from here on another server",
                retry_seconds=RETRY_SECONDS,
            )
