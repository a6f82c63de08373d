"""Models in memory: loaded and warmed up within a memory budget, pinned by the requests that use them."""

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
from services.generator.models.models_dir_scan import Key, Stamp, StoredVersion

_RETRY_SECONDS = 5.0  # by then, running requests have usually released their models

UnloadReason = Literal["memory", "call", "replaced", "gone"]
P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(eq=False)
class LoadedModel:
    """A model in memory.

    Attributes:
        model: the model, which the engine has as well.
        stamp: stamp of the files that the model was loaded from.
        bytes: what the model counts against the memory budget.
        users: number of running requests that use the model.
        used_at: when the last of them began, by the monotonic clock.
    """

    model: CGN
    stamp: Stamp
    bytes: int
    users: int = 0
    used_at: float = 0.0


class LoadedModels:
    """The models in memory. Lives on the event loop; files are read in threads.

    A model that is unloaded while requests use it leaves the engine, and frees its memory, after the last of
    those requests.
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
        self._by_key: dict[Key, LoadedModel] = {}
        self._leaving: list[LoadedModel] = []  # unloaded, but still in use
        self._one_load = asyncio.Lock()
        metrics.model_memory_limit_bytes.set(budget_bytes)
        metrics.model_memory_bytes.set_function(self._used_bytes)

    def get(self, key: Key) -> LoadedModel | None:
        """The model of a version, if it is loaded."""
        return self._by_key.get(key)

    def items(self) -> list[tuple[Key, LoadedModel]]:
        """All loaded versions."""
        return list(self._by_key.items())

    @contextmanager
    def pin(self, loaded: LoadedModel) -> Iterator[ModelCard]:
        """Pins a model in the engine for one request, even if the model is unloaded. Yields its card."""
        loaded.users += 1
        loaded.used_at = time.monotonic()
        try:
            yield loaded.model.card
        finally:
            loaded.users -= 1
            if not loaded.users and loaded in self._leaving:
                self._leaving.remove(loaded)
                self._drop_from_engine(loaded.model.card.digest)

    async def load(self, key: Key, stored: StoredVersion, keep_loaded: set[Key]) -> None:
        """Loads a version and warms it up. A model that is loaded from older files serves until then.

        Args:
            key: the version.
            stored: the version on disk.
            keep_loaded: versions that must not be unloaded to make room, however long they are unused.

        Raises:
            ApiError: RESOURCE_EXHAUSTED (MODEL_MEMORY) if the version does not fit; nothing was unloaded.
            Exception: any error of a version that does not load.
        """
        async with self._one_load:
            before = self._by_key.get(key)
            if before and before.stamp == stored.stamp:
                return
            outcome = "broken"
            try:
                self._make_room(key, stored.budget_bytes, keep_loaded)
                await self._add(key, stored)
                outcome = "loaded"
            except ApiError:
                outcome = "refused"
                raise
            finally:
                self._metrics.model_loads.labels(*key, outcome).inc()

    def unload(self, key: Key, reason: UnloadReason) -> None:
        """Takes a version out of service; its memory is freed once no request uses it."""
        loaded = self._by_key.pop(key)
        self._unexport(loaded.model)
        if loaded.users:
            self._leaving.append(loaded)
        else:
            self._drop_from_engine(loaded.model.card.digest)
        name, version = key
        self._metrics.model_unloads.labels(name, version, reason).inc()
        log.info("model unloaded", extra={"model": name, "version": version, "why": reason})

    async def _add(self, key: Key, stored: StoredVersion) -> None:
        name, version = key
        model = None
        try:
            model = await _in_new_thread(
                checkpoint.load, self._root, name, version, self._device, self._precision
            )
            self._engine.add(model)
            warm_up = [Row(model.card.digest, mechanism, 0, 0) for mechanism in MECHANISMS]
            await asyncio.wrap_future(self._engine.submit(warm_up).future)
        except BaseException as error:
            if model:
                self._drop_from_engine(model.card.digest)
            if isinstance(error, (torch.OutOfMemoryError, OutOfMemory)):
                raise self._refusal(
                    key, stored.budget_bytes, f"the device has no more memory: {error}"
                ) from error
            raise
        if key in self._by_key:
            self.unload(key, "replaced")
        size = sum(map(model.network.resident_bytes, model.network.mechanisms))
        size = max(stored.budget_bytes, size)  # the budget includes mechanisms that are loaded later
        self._by_key[key] = LoadedModel(model, stored.stamp, size, used_at=time.monotonic())
        self._engine.add(model)  # again: unloading a replaced model with the same weights removed it
        self._export(model)
        log.info("model served", extra={"model": name, "version": version, "digest": model.card.digest})

    def _make_room(self, key: Key, needed: int, keep_loaded: set[Key]) -> None:
        """Unloads the least recently used versions until `needed` bytes are free.

        Raises:
            ApiError: so many bytes cannot be freed; nothing was unloaded.
        """
        short = self._used_bytes() + needed - self._budget
        victims = []
        idle = [k for k, r in self._by_key.items() if not r.users and k not in keep_loaded and k != key]
        for candidate in sorted(idle, key=lambda k: self._by_key[k].used_at):
            if short <= 0:
                break
            victims.append(candidate)
            short -= self._by_key[candidate].bytes
        if short > 0:
            raise self._refusal(key, needed, "the other versions are in use, or too small")
        for victim in victims:
            self.unload(victim, "memory")

    def _used_bytes(self) -> int:
        return sum(loaded.bytes for loaded in (*self._by_key.values(), *self._leaving))

    def _refusal(self, key: Key, needed: int, why: str) -> ApiError:
        by_size = sorted(self._by_key.items(), key=lambda item: item[1].bytes, reverse=True)
        largest = ", ".join(f"{'/'.join(k)} {_mib(m.bytes)}" for k, m in by_size[:5]) or "nothing"
        return ApiError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "MODEL_MEMORY",
            f"{'/'.join(key)} needs {_mib(needed)}; {_mib(self._used_bytes())} of {_mib(self._budget)} for "
            f"models are taken ({largest}), and {why}; unload a version, or raise CGN_MODEL_MEMORY_MB",
            retry_seconds=_RETRY_SECONDS if needed <= self._budget else None,
        )

    def _drop_from_engine(self, digest: str) -> None:
        """Drops weights from the engine, unless another version has the same weights."""
        others = (*self._by_key.values(), *self._leaving)
        if all(loaded.model.card.digest != digest for loaded in others):
            self._engine.remove(digest)

    def _export(self, model: CGN) -> None:
        card, metrics = model.card, self._metrics
        metrics.model_info.labels(card.name, card.version, card.digest).set(1)
        for mechanism in model.network.mechanisms:
            loaded = partial(
                model.network.resident_bytes, mechanism
            )  # read at each scrape: a reference is loaded later
            metrics.mechanism_resident_bytes.labels(card.name, card.version, mechanism).set_function(loaded)
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
        """The gauges of a class's mask bounds, in the order of MaskBounds."""
        metrics = self._metrics
        return (
            metrics.mu_mask_lowest,
            metrics.mu_mask_highest,
            metrics.mask_border_highest,
            metrics.mask_soft_highest,
        )


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.1f} MiB"


async def _in_new_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs work in a new thread, which ends with the work.

    A thread that has run torch operations keeps OpenMP threads as long as it lives. If these outnumber the
    cores, the engine's own threads sleep between the operations of a forward pass, which then takes longer.
    """
    executor = ThreadPoolExecutor(1)
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, partial(work, *args, **kwargs))
    finally:
        executor.shutdown(wait=False)
