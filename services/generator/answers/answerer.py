"""The one way from a plan to an answer, or to one part of a streamed answer."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from cgn.card import ModelCard
from common.metrics import GeneratorMetrics
from services.generator.answers.answer_times import AnswerTimes
from services.generator.answers.served_metrics import Mask, ServedMetrics
from services.generator.plan.plan import Plan
from services.generator.rows.admission import Admission
from services.generator.rows.held_rows import HeldRows
from services.generator.rows.source import FetchedRows, RowSource

# A raw answer of at most so many pixels is composed on the event loop: passing it to a thread takes longer.
_PIXELS_ON_LOOP = 1 << 16

T = TypeVar("T")


class Answerer:
    """Admits the rows of a plan, fetches them, builds the answer and counts its images.

    Lives on the event loop. Torch runs in the engine's threads; composing and encoding run in `pool`.
    """

    def __init__(
        self, rows: RowSource, admission: Admission, pool: ThreadPoolExecutor, metrics: GeneratorMetrics
    ) -> None:
        self._rows = rows
        self._admission = admission
        self._pool = pool
        self._served = ServedMetrics(metrics)
        self._times = AnswerTimes()

    def check_room(self, card: ModelCard) -> None:
        """Refuses a request for a model that is overloaded, before it is planned. Raises ApiError."""
        self._admission.check(card, 1)

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Runs work in the thread pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    async def answer(
        self,
        plan: Plan,
        build: Callable[[Plan, FetchedRows, Sequence[Mask]], T],
        context: Any,
        *,
        streamed: bool = False,
        held: HeldRows | None = None,
    ) -> T:
        """Makes an answer, or one part of a streamed one. Its rows are in flight until it is built.

        Args:
            plan: the plan of the answer or part.
            build: builds it from the plan, the rows and the measures of the plan's masks.
            context: the RPC's context.
            streamed: whether this is a part of a stream.
            held: rows that the stream holds from earlier parts.

        Raises:
            ApiError: OVERLOADED and the errors of `RowSource.fetch` and of `build`.
        """
        rows = plan.all_rows()
        missing = held.missing(rows) if held else rows
        with self._admission.admit(plan.card, len(missing)):
            fetched = await self._rows.fetch(missing, plan.card, plan.dtype, context, self._times.seconds())
            if held:
                fetched = FetchedRows(held.merge(rows, fetched.pixels), fetched.cached)
            if streamed:
                return await self.run(self._build, plan, fetched, build)
            self._times.start(context)  # the time of a stream would be its reader's
            pixels = plan.composites * len(plan.outputs) * plan.card.resolution**2
            if plan.raw and pixels <= _PIXELS_ON_LOOP:
                return self._build(plan, fetched, build)
            return await self.run(self._build, plan, fetched, build)

    def _build(
        self, plan: Plan, rows: FetchedRows, build: Callable[[Plan, FetchedRows, Sequence[Mask]], T]
    ) -> T:
        """The answer, counted."""
        masks = self._served.masks(plan, rows.pixels)
        answer = build(plan, rows, masks)
        self._served.count(plan, masks)
        return answer
