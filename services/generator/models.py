"""The models that are served: the models directory, watched."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import grpc
import torch
from prometheus_client import Gauge

from cgn import checkpoint
from cgn.engine import Engine, Row
from cgn.model import CGN
from cgn.noise import MECHANISMS
from common.metrics import GeneratorMetrics
from services.errors import ApiError
from services.generator.describe import age, describe

SCAN_SECONDS = 1.0
_MOST_NAMES_IN_MESSAGE = 20

Key = tuple[str, str]  # name, version
Stamp = tuple[tuple[int, int], ...]  # (mtime in ns, bytes) of the version's files

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry:
    model: CGN
    stamp: Stamp


class Models:
    """Every version in the models directory that loads, resident in the engine.

    A version that does not load is logged once and left out until its files change; the others are
    served all the same. Lives on the event loop; files are read in threads.
    """

    def __init__(self, root: Path, device: torch.device, engine: Engine, metrics: GeneratorMetrics) -> None:
        self._root = root
        self._device = device
        self._engine = engine
        self._metrics = metrics
        self._served: dict[Key, _Entry] = {}
        self._ordered: list[CGN] = []
        self._bad: dict[Key, Stamp] = {}

    def all(self) -> list[CGN]:
        """Every served version, by name, newest first."""
        return self._ordered

    def find(self, name: str, version: str) -> CGN:
        """A served model; an empty version is the newest.

        Raises:
            ApiError: INVALID_ARGUMENT without a name, NOT_FOUND (MODEL_NOT_FOUND) with the known ones.
        """
        names = list(dict.fromkeys(model.card.name for model in self._ordered))
        if not names:
            message = (
                f"no model is served: {self._root} holds none that loads; train one with "
                "`python -m trainer.runs.train_cgn` or a TrainerService job, or set CGN_MODELS_DIR"
            )
            raise ApiError(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", message, [("model", message)])
        if not name:
            description = f"must be given; known: {_list(names)}"
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "INVALID_FIELD",
                f"model: {description}",
                [("model", description)],
            )
        versions = [model for model in self._ordered if model.card.name == name]
        if not versions:
            raise _not_found("model", name, names)
        if not version:
            return versions[0]
        for model in versions:
            if model.card.version == version:
                return model
        raise _not_found("version", version, [model.card.version for model in versions])

    async def scans(self) -> AsyncIterator[None]:
        """Scans for ever, a second apart; yields after every scan that got through."""
        while True:
            try:
                await self.scan()
            except (OSError, RuntimeError) as error:  # unreadable, a loop of links: keep what is served
                log.error("models directory cannot be read", extra={"reason": str(error)})
            else:
                yield
            await asyncio.sleep(SCAN_SECONDS)

    async def scan(self) -> None:
        """Loads what is new, warms it up, and unloads what is gone."""
        found = await asyncio.to_thread(_stamps, self._root)
        for key, entry in list(self._served.items()):
            if found.get(key) != entry.stamp:
                self._unload(key)
        self._bad = {key: stamp for key, stamp in self._bad.items() if found.get(key) == stamp}
        for key, stamp in sorted(found.items()):
            if key not in self._served and key not in self._bad:
                await self._load(key, stamp)

    async def _load(self, key: Key, stamp: Stamp) -> None:
        name, version = key
        model = None
        try:
            model = await asyncio.to_thread(checkpoint.load, self._root, name, version, self._device)
            describe(model)  # a card with values of the wrong type fails here, and not in ListModels
            self._engine.add(model)
            warm_up = [Row(model.card.digest, mechanism, 0, 0) for mechanism in MECHANISMS]
            await asyncio.gather(*map(asyncio.wrap_future, self._engine.submit(warm_up)))
        # Whatever is wrong with one version, the others go on.
        except Exception as error:
            self._bad[key] = stamp
            if model:
                self._forget(model.card.digest)
            log.error("model left out", extra={"model": name, "version": version, "reason": str(error)})
            return
        self._served[key] = _Entry(model, stamp)
        self._order()
        self._export(model)
        digest = model.card.digest
        log.info("model served", extra={"model": name, "version": version, "digest": digest})

    def _unload(self, key: Key) -> None:
        name, version = key
        card = self._served.pop(key).model.card
        self._order()
        self._forget(card.digest)
        metrics = self._metrics
        metrics.model_info.remove(name, version, card.digest)
        for mechanism in MECHANISMS:
            metrics.mechanism_resident_bytes.remove(name, version, mechanism)
        for class_name in card.class_names:
            for gauge in self._bound_gauges():
                gauge.remove(name, version, class_name)
        log.info("model unloaded", extra={"model": name, "version": version})

    def _forget(self, digest: str) -> None:
        """Drops weights from the engine, unless another version has the same ones."""
        if all(entry.model.card.digest != digest for entry in self._served.values()):
            self._engine.remove(digest)

    def _order(self) -> None:
        models = [entry.model for entry in self._served.values()]
        models.sort(key=age, reverse=True)
        models.sort(key=lambda model: model.card.name)  # stable: newest first within a name
        self._ordered = models

    def _export(self, model: CGN) -> None:
        card, metrics = model.card, self._metrics
        metrics.model_info.labels(card.name, card.version, card.digest).set(1)
        for mechanism in MECHANISMS:
            resident = model.resident_bytes(mechanism)
            metrics.mechanism_resident_bytes.labels(card.name, card.version, mechanism).set(resident)
        for class_name, bounds in zip(card.class_names, card.mask_bounds, strict=True):
            for gauge, bound in zip(self._bound_gauges(), astuple(bounds), strict=True):
                gauge.labels(card.name, card.version, class_name).set(bound)

    def _bound_gauges(self) -> tuple[Gauge, ...]:
        """The gauges of a class's bounds, in the order of MaskBounds."""
        metrics = self._metrics
        return (
            metrics.mu_mask_lowest,
            metrics.mu_mask_highest,
            metrics.mask_border_highest,
            metrics.mask_soft_highest,
        )


def _stamps(root: Path) -> dict[Key, Stamp]:
    """Every version below root with a mark of its files that changes when they do."""
    found = {}
    for name, version in checkpoint.versions(root):
        stats = []
        for file in (checkpoint.CARD, checkpoint.WEIGHTS):
            try:
                stat = (root / name / version / file).stat()
                stats.append((stat.st_mtime_ns, stat.st_size))
            except FileNotFoundError:
                stats.append((0, 0))
        found[name, version] = tuple(stats)
    return found


def _list(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _MOST_NAMES_IN_MESSAGE else ""
    return ", ".join(names[:_MOST_NAMES_IN_MESSAGE]) + more


def _not_found(field: str, value: str, known: Sequence[str]) -> ApiError:
    description = f"{value!r:.80} is not served; known: {_list(known)}"
    return ApiError(
        grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", f"{field}: {description}", [(field, description)]
    )
