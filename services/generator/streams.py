"""The answers that come in parts: each is made, and its share of the work given back, before it is sent.

So a client who reads slowly holds its last part and no work in flight, and nothing is made ahead of it but
what the connection's own buffers take.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import grpc
import numpy as np

from cgn.card import ModelCard
from cgn.engine import Row
from cgn_api.v1 import generator_pb2 as pb
from services.errors import ApiError
from services.generator.answers.animate import animate
from services.generator.answers.batches import image_batches
from services.generator.answers.composites import answer
from services.generator.answers.tally import Tally
from services.generator.plan.generate import Plan
from services.generator.plan.interpolate import Interpolation, interpolation
from services.generator.plan.product import product
from services.generator.plan.sample import Batch, samples
from services.generator.rows.admission import RETRY_SECONDS, Admission
from services.generator.rows.redis_tier import Pixels
from services.generator.rows.source import Found, RowSource

# Of an interpolation, whose rows are computed together: at most so many, and of large ones not more than one.
_FRAMES_AT_ONCE, _FRAME_PIXELS = 16, 1 << 16
_ANIMATION_BYTES = 1 << 20  # of one message
_KEPT_BYTES = 64 << 20  # of rows, by one stream

T = TypeVar("T")


class Streams:
    """The handlers of RPCs that answer by a stream. Lives on the event loop.

    Args:
        draining: set when the server is to end: products and samples then end between two parts.
    """

    def __init__(
        self,
        rows: RowSource,
        admission: Admission,
        pool: ThreadPoolExecutor,
        tally: Tally,
        draining: asyncio.Event,
    ) -> None:
        self._rows = rows
        self._admission = admission
        self._pool = pool
        self._tally = tally
        self._draining = draining

    async def interpolate(
        self, request: pb.InterpolateRequest, card: ModelCard, context: Any
    ) -> AsyncIterator[pb.InterpolateResponse]:
        """The frames one by one, or the animation of them."""
        way = interpolation(request, card)
        film: list[pb.GenerateResponse] = []
        index = 0
        frames_left = way.frames()
        at_once = max(1, min(_FRAMES_AT_ONCE, _FRAME_PIXELS // card.resolution**2))
        while frames := list(islice(frames_left, at_once)):
            shares, plans = zip(*frames, strict=True)
            rows = list(dict.fromkeys(row for plan in plans for row in plan.all_rows()))
            answers = await self._made(way.start, rows, partial(self._answers, plans), context)
            if way.animation:
                film += answers
                continue
            for share, response in zip(shares, answers, strict=True):
                yield pb.InterpolateResponse(frame=pb.Frame(index=index, share=share, response=response))
                index += 1
        if way.animation:
            file = await self._in_pool(_animation, film, way)
            for start in range(0, len(file), _ANIMATION_BYTES):
                yield pb.InterpolateResponse(animation=file[start : start + _ANIMATION_BYTES])

    async def product(
        self, request: pb.GenerateProductRequest, card: ModelCard, context: Any
    ) -> AsyncIterator[pb.GenerateProductResponse]:
        """The header and the chunks of a product."""
        todo = await self._in_pool(product, request, card)
        yield pb.GenerateProductResponse(header=todo.header)
        kept = _Kept()
        for start in todo.starts():
            self._may_go_on()
            plan = await self._in_pool(todo.chunk, start)
            missing = [row for row in plan.all_rows() if row not in kept.pixels]
            chunk = await self._made(plan, missing, partial(self._chunk, start, plan, kept), context)
            yield pb.GenerateProductResponse(chunk=chunk)

    async def samples(
        self, request: pb.SampleRequest, card: ModelCard, context: Any
    ) -> AsyncIterator[pb.SampleResponse]:
        """The header and the batches of a stream of samples."""
        todo = samples(request, card)
        yield pb.SampleResponse(header=todo.header)
        for start in todo.starts():
            self._may_go_on()
            batch = await self._in_pool(todo.batch, start)
            rows = batch.plan.all_rows()
            message = await self._made(batch.plan, rows, partial(self._batch, batch), context)
            yield pb.SampleResponse(batch=message)

    async def _made(self, plan: Plan, rows: list[Row], make: Callable[[Found], T], context: Any) -> T:
        """What is made of rows, in the pool; they count as in flight until it is made."""
        with self._admission.admitted(plan.card, len(rows)):
            found = await self._rows.find(rows, plan.card, plan.dtype, context)
            return await self._in_pool(make, found)

    def _may_go_on(self) -> None:
        """Ends a stream that can be taken up elsewhere. Raises ApiError, UNAVAILABLE, while draining."""
        if self._draining.is_set():
            raise ApiError(
                grpc.StatusCode.UNAVAILABLE,
                "SHUTTING_DOWN",
                "the server is shutting down; go on from here on another server",
                retry_seconds=RETRY_SECONDS,
            )

    async def _in_pool(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def _answers(self, plans: Sequence[Plan], found: Found) -> list[pb.GenerateResponse]:
        made = []
        for plan in plans:
            masks = self._tally.masks(plan, found.pixels)
            made.append(answer(plan, found.pixels, found.cached, masks))
            self._tally.count(plan, masks)
        return made

    def _chunk(self, start: int, plan: Plan, kept: "_Kept", found: Found) -> pb.ProductChunk:
        pixels = kept.and_more(found.pixels)
        masks = self._tally.masks(plan, pixels)
        self._tally.count(plan, masks)
        return pb.ProductChunk(
            start=start,
            count=plan.composites,
            mu_mask=[masks[pick].mean for pick in plan.picks.get("shape", ())],
            images=image_batches(plan, pixels),
        )

    def _batch(self, batch: Batch, found: Found) -> pb.SampleBatch:
        self._tally.count(batch.plan, self._tally.masks(batch.plan, found.pixels))
        batch.message.images.extend(image_batches(batch.plan, found.pixels, batch.jitter))
        return batch.message


class _Kept:
    """Rows that a product comes back to, as far as there is room: the first ones, for they come in turns."""

    def __init__(self) -> None:
        self.pixels: dict[Row, Pixels] = {}
        self._bytes = 0

    def and_more(self, pixels: Mapping[Row, Pixels]) -> dict[Row, Pixels]:
        """All that is kept and these, which are kept from now on if they fit."""
        everything = {**self.pixels, **pixels}
        for row, array in pixels.items():
            if self._bytes + array.nbytes <= _KEPT_BYTES:
                self.pixels[row] = array
                self._bytes += array.nbytes
        return everything


def _animation(answers: list[pb.GenerateResponse], way: Interpolation) -> bytes:
    """The animation of single images in ENCODING_RAW_UINT8."""
    frames = []
    for response in answers:
        (image,) = response.results[0].images
        shape = image.height, image.width, image.channels
        frames.append(np.frombuffer(image.data, np.uint8).reshape(shape))
    return animate(frames, way.animation, way.frames_per_second)
