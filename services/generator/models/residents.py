"""Models in memory: loaded and warmed up within a budget, held by the requests that use them."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

import grpc
import torch
from prometheus_client import Gauge

from cgn.card import ModelCard
from cgn.engine import Engine, OutOfMemory, Row
from cgn.families.family import Precision
from cgn.model import CGN
from cgn.noise import MECHANISMS
from cgn.store import checkpoint
from common.metrics import GeneratorMetrics
from services.errors import ApiError
from services.generator.models.catalog import Key, Stamp, Stored

_RETRY_SECONDS = 5.0  # about what it takes until requests under way let go of a model

Why = Literal["memory", "call", "replaced", "gone"]
P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Resident:
    """A model in memory.

    Attributes:
        model: itself, its rows to be had from the engine.
        stamp: of the files that it was loaded from.
        bytes: what it counts for.
        users: requests under way that use it.
        used_at: when the last one began, by the monotonic clock.
    """

    model: CGN
    stamp: Stamp
    bytes: int
    users: int = 0
    used_at: float = 0.0


class Residents:
    """The models in memory. Lives on the event loop; files are read in threads.

    A model that is unloaded while requests use it leaves the engine, and gives its memory back, after the
    last of them.
    """

    def __init__(
        self,
        root: Path,
        device: torch.device,
        precision: Precision,
        engine: Engine,
        budget_bytes: int,
        metrics: GeneratorMetrics,
    ) -> None:
        self._root, self._device, self._precision = root, device, precision
        self._engine = engine
        self._budget = budget_bytes
        self._metrics = metrics
        self._by_key: dict[Key, Resident] = {}
        self._leaving: list[Resident] = []  # unloaded, still used
        self._one_load = asyncio.Lock()
        metrics.model_memory_limit_bytes.set(budget_bytes)
        metrics.model_memory_bytes.set_function(self._taken)

    def get(self, key: Key) -> Resident | None:
        """The model, if it is resident."""
        return self._by_key.get(key)

    def items(self) -> list[tuple[Key, Resident]]:
        """All that are resident."""
        return list(self._by_key.items())

    @contextmanager
    def used(self, resident: Resident) -> Iterator[ModelCard]:
        """Keeps a model in the engine, unloaded or not."""
        resident.users += 1
        resident.used_at = time.monotonic()
        try:
            yield resident.model.card
        finally:
            resident.users -= 1
            if not resident.users and resident in self._leaving:
                self._leaving.remove(resident)
                self._forget(resident)

    async def load(self, key: Key, stored: Stored, spared: set[Key]) -> None:
        """Loads a version and warms it up; one that is resident from other files stays until then.

        Args:
            key: of the version.
            stored: what is on disk.
            spared: versions that must not be unloaded for it, however long they have not been used.

        Raises:
            ApiError: RESOURCE_EXHAUSTED (MODEL_MEMORY) where it does not fit; nothing was unloaded.
            Exception: whatever is wrong with the version.
        """
        async with self._one_load:
            before = self._by_key.get(key)
            if before and before.stamp == stored.stamp:
                return
            outcome = "broken"
            try:
                self._make_room(key, stored.budget_bytes, spared)
                await self._add(key, stored)
                outcome = "loaded"
            except ApiError:
                outcome = "refused"
                raise
            finally:
                self._metrics.model_loads.labels(*key, outcome).inc()

    def unload(self, key: Key, why: Why) -> None:
        """Takes a version out of service; it leaves the memory when no request uses it any more."""
        resident = self._by_key.pop(key)
        self._unexport(resident.model)
        if resident.users:
            self._leaving.append(resident)
        else:
            self._forget(resident)
        name, version = key
        self._metrics.model_unloads.labels(name, version, why).inc()
        log.info("model unloaded", extra={"model": name, "version": version, "why": why})

    async def _add(self, key: Key, stored: Stored) -> None:
        name, version = key
        model = None
        try:
            model = await _in_thread_of_its_own(
                checkpoint.load, self._root, name, version, self._device, self._precision
            )
            self._engine.add(model)
            warm_up = [Row(model.card.digest, mechanism, 0, 0) for mechanism in MECHANISMS]
            await asyncio.wrap_future(self._engine.submit(warm_up).future)
        except BaseException as error:
            if model:
                self._drop_from_engine(model.card.digest)
            if isinstance(error, (torch.OutOfMemoryError, OutOfMemory)):
                raise self._refusal(key, stored.budget_bytes, f"the device has no more: {error}") from error
            raise
        if key in self._by_key:
            self.unload(key, "replaced")
        taken = sum(map(model.network.resident_bytes, model.network.mechanisms))
        size = max(stored.budget_bytes, taken)  # which has room for what is loaded later
        self._by_key[key] = Resident(model, stored.stamp, size, used_at=time.monotonic())
        self._engine.add(model)  # again, for what was replaced may have had the same weights
        self._export(model)
        log.info("model served", extra={"model": name, "version": version, "digest": model.card.digest})

    def _make_room(self, key: Key, needed: int, spared: set[Key]) -> None:
        """Unloads the versions least recently used until so many bytes are free.

        Raises:
            ApiError: they cannot be; nothing was unloaded.
        """
        short = self._taken() + needed - self._budget
        victims = []
        idle = [k for k, r in self._by_key.items() if not r.users and k not in spared and k != key]
        for candidate in sorted(idle, key=lambda k: self._by_key[k].used_at):
            if short <= 0:
                break
            victims.append(candidate)
            short -= self._by_key[candidate].bytes
        if short > 0:
            raise self._refusal(key, needed, "the rest is in use, or too little")
        for victim in victims:
            self.unload(victim, "memory")

    def _taken(self) -> int:
        return sum(resident.bytes for resident in (*self._by_key.values(), *self._leaving))

    def _refusal(self, key: Key, needed: int, why: str) -> ApiError:
        largest = sorted(self._by_key.items(), key=lambda item: item[1].bytes, reverse=True)[:5]
        taken = ", ".join(f"{'/'.join(k)} {_mib(r.bytes)}" for k, r in largest) or "nothing"
        return ApiError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "MODEL_MEMORY",
            f"{'/'.join(key)} needs {_mib(needed)}; of {_mib(self._budget)} for models {_mib(self._taken())} "
            f"are taken ({taken}), and {why}; unload a version, or raise CGN_MODEL_MEMORY_MB",
            retry_seconds=_RETRY_SECONDS if needed <= self._budget else None,
        )

    def _forget(self, resident: Resident) -> None:
        """Gives a model's memory back."""
        self._drop_from_engine(resident.model.card.digest)

    def _drop_from_engine(self, digest: str) -> None:
        """Drops weights from the engine, unless another version has the same ones."""
        kept = (*self._by_key.values(), *self._leaving)
        if all(resident.model.card.digest != digest for resident in kept):
            self._engine.remove(digest)

    def _export(self, model: CGN) -> None:
        card, metrics = model.card, self._metrics
        metrics.model_info.labels(card.name, card.version, card.digest).set(1)
        for mechanism in model.network.mechanisms:
            resident = partial(model.network.resident_bytes, mechanism)  # a reference is loaded later
            metrics.mechanism_resident_bytes.labels(card.name, card.version, mechanism).set_function(resident)
        for class_name, bounds in zip(card.class_names, card.mask_bounds, strict=True):
            for gauge, bound in zip(self._bound_gauges(), astuple(bounds), strict=True):
                gauge.labels(card.name, card.version, class_name).set(bound)

    def _unexport(self, model: CGN) -> None:
        card, metrics = model.card, self._metrics
        metrics.model_info.remove(card.name, card.version, card.digest)
        for mechanism in model.network.mechanisms:
            metrics.mechanism_resident_bytes.remove(card.name, card.version, mechanism)
        for class_name in card.class_names:
            for gauge in self._bound_gauges():
                gauge.remove(card.name, card.version, class_name)

    def _bound_gauges(self) -> Sequence[Gauge]:
        """The gauges of a class's bounds, in the order of MaskBounds."""
        metrics = self._metrics
        return (
            metrics.mu_mask_lowest,
            metrics.mu_mask_highest,
            metrics.mask_border_highest,
            metrics.mask_soft_highest,
        )


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


async def _in_thread_of_its_own(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Does some work in a thread that ends with it.

    A thread that has done torch's work keeps OpenMP threads as long as it lives. With more of these than
    cores the engine's would sleep between the parts of a forward pass, which then takes longer.
    """
    executor = ThreadPoolExecutor(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, partial(work, *args, **kwargs))
    finally:
        executor.shutdown(wait=False)
