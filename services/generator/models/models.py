"""The models that can be requested: versions in the watched models directory, and their aliases."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import grpc
import torch

from cgn.card import RESERVED_VERSIONS, ModelCard
from cgn.engine import Engine
from cgn.errors import CgnInputError
from cgn.families.family import Precision
from cgn.store import aliases, versions
from cgn.store.aliases import LATEST, MOVABLE, AliasError
from common.metrics import GeneratorMetrics
from services.errors import ApiError, invalid
from services.generator.models.describe import Version, age
from services.generator.models.loaded_models import LoadedModels
from services.generator.models.models_dir_scan import Key, StoredVersion, scan_models_dir

SCAN_SECONDS = 1.0
_MAX_NAMES_IN_MESSAGE = 20

T = TypeVar("T")

log = logging.getLogger(__name__)


class Models:
    """Every usable version in the models directory.

    Versions with an alias are loaded ahead of requests, as far as there is memory. Other versions are loaded
    at their first request. An alias moves once its new version is warm. A version that does not load moves no
    alias: it is logged once, and left out until its files change. Lives on the event loop.
    """

    def __init__(
        self,
        root: Path,
        device: torch.device,
        precision: Precision,
        engine: Engine,
        metrics: GeneratorMetrics,
        *,
        budget_bytes: int,
        keep_versions: int,
    ) -> None:
        self._root, self._precision = root, precision
        self._keep_versions = keep_versions
        self._loaded_models = LoadedModels(root, device, precision, engine, budget_bytes, metrics)
        self._scanned: dict[Key, StoredVersion] = {}  # all versions of the last scan
        self._usable: dict[Key, StoredVersion] = {}
        self._cards: dict[str, list[ModelCard]] = {}  # cards of the usable versions, by name, newest first
        self._left_out: dict[Key, StoredVersion] = {}  # versions that cannot be used, with the reason
        self._unloaded: set[Key] = set()
        self._aliases: dict[tuple[str, str], str] = {}  # name and alias -> version, as requests see them
        self._loads: dict[Key, asyncio.Task[None]] = {}
        self._one_scan = asyncio.Lock()
        self._warnings: dict[str, str] = {}  # the last warning about each thing

    def all(self) -> list[Version]:
        """Every version that can be requested, by name, newest first."""
        return [self._version((card.name, card.version)) for cards in self._cards.values() for card in cards]

    def find(self, name: str, version: str) -> Version:
        """A version that can be requested, by its own name or by an alias; empty means "latest".

        Raises:
            ApiError: INVALID_ARGUMENT without a name, NOT_FOUND (MODEL_NOT_FOUND) with the known names,
                FAILED_PRECONDITION (MODEL_BROKEN) with the reason.
        """
        return self._version(self._resolve(name, version))

    @asynccontextmanager
    async def serving(self, name: str, version: str) -> AsyncIterator[ModelCard]:
        """Pins a version while a request uses it, even if it is unloaded or replaced. Yields its card.

        Raises:
            ApiError: as `find`; FAILED_PRECONDITION if the version was unloaded or does not load;
                RESOURCE_EXHAUSTED if there is no memory for it.
        """
        key = self._resolve(name, version)
        while not (loaded := self._loaded_models.get(key)) or key in self._unloaded:
            if key in self._unloaded:
                message = f"{'/'.join(key)} was unloaded; LoadModel serves it again"
                raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_UNLOADED", message)
            try:
                await self._load(key, set())
            except ApiError:
                if (instead := self._resolve(name, version)) == key:
                    raise
                key = instead  # the alias has moved away from a version that does not load
        with self._loaded_models.pin(loaded) as card:
            yield card

    async def load(self, name: str, version: str) -> Version:
        """Loads a version, even if it was unloaded or did not load before. Raises ApiError."""
        if self._left_out.pop((name, version), None):
            self._scanned.pop((name, version), None)
        await self.scan()
        if bad := self._left_out.get((name, version)):
            raise _broken((name, version), bad.reason)
        key = self._resolve(name, version)
        await self._load(key, set())
        self._unloaded.discard(key)
        return self._version(key)

    def unload(self, name: str, version: str) -> Version:
        """Refuses further requests for a version, and frees its memory after the running ones.

        Raises:
            ApiError: as `find`.
        """
        key = self._resolve(name, version)
        self._unloaded.add(key)
        if self._loaded_models.get(key):
            self._loaded_models.unload(key, "call")
        return self._version(key)

    async def delete(self, name: str, version: str) -> None:
        """Removes a version from the disk. Raises ApiError."""
        if not version or version in RESERVED_VERSIONS:
            raise invalid("version", f"{version!r} must name the version itself, not an alias")
        await self.scan()
        key = (name, version)
        if key not in self._left_out:
            self._resolve(name, version)
        targets = await self._on_disk(lambda: aliases.read(self._root, name))
        if pointing := [alias for alias, target in targets.items() if target == version]:
            message = f"{pointing[0]} points at {'/'.join(key)}; move it first (SetAlias)"
            raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_ALIASED", message)
        await self._on_disk(lambda: versions.delete(self._root, name, version))
        log.info("model deleted", extra={"model": name, "version": version})
        await self.scan()

    async def set_alias(self, name: str, alias: str, version: str) -> Version:
        """Points an alias at a version once it is loaded; an empty version removes it. Raises ApiError."""
        if alias not in MOVABLE:
            raise invalid("alias", f"{alias!r:.80} cannot be moved; use {', '.join(MOVABLE)}")
        if version in RESERVED_VERSIONS:
            raise invalid("version", f"{version!r} must name the version itself, not an alias")
        target = await self.load(name, version) if version else self.find(name, "")
        await self._on_disk(lambda: aliases.move(self._root, name, alias, version))
        await self.scan()
        return self._version((target.card.name, target.card.version))

    async def scans(self) -> AsyncIterator[None]:
        """Scans every second, for ever; yields after every scan that succeeds."""
        while True:
            try:
                await self.scan()
            except (OSError, RuntimeError) as error:  # unreadable, a loop of links: keep serving as before
                log.error("models directory cannot be read", extra={"reason": str(error)})
            else:
                yield
            await asyncio.sleep(SCAN_SECONDS)

    async def scan(self) -> None:
        """Finds new versions, moves aliases to them once they are warm, and unloads removed versions."""
        async with self._one_scan:
            self._scanned = await asyncio.to_thread(
                scan_models_dir, self._root, self._precision, self._scanned
            )
            self._left_out = {
                key: bad
                for key, bad in self._left_out.items()
                if key in self._scanned and self._scanned[key].stamp == bad.stamp
            }
            for key, stored in sorted(self._scanned.items()):
                if stored.reason and key not in self._left_out:
                    self._leave_out(key, stored, stored.reason)
            self._rebuild_index()
            if not self._cards:
                self._warn_once(str(self._root), "holds no model that loads; all calls end by NOT_FOUND")
            for key, loaded in self._loaded_models.items():
                if key in self._usable and self._usable[key].stamp != loaded.stamp:
                    await self._preload(key, self._aliased())  # republished: the old one serves until then
            for name in sorted(self._cards, key=self._size):  # small models need not wait for a large one
                await self._update_aliases(name)
            for key, _ in self._loaded_models.items():
                if key not in self._scanned:
                    self._loaded_models.unload(key, "gone")
            self._unloaded &= self._scanned.keys()
            self._aliases = {at: to for at, to in self._aliases.items() if at[0] in self._cards}
            if self._keep_versions:
                for name in list(self._cards):
                    await self._delete_old(name)

    def _rebuild_index(self) -> None:
        """Derives the usable versions and their order from the last scan."""
        # If files were replaced by bad ones, the model that was loaded from the old files still serves.
        still_loaded = {
            key: stored
            for key, stored in self._usable.items()
            if key in self._left_out and self._loaded_models.get(key)
        }
        self._usable = still_loaded | {
            k: stored for k, stored in self._scanned.items() if k not in self._left_out
        }
        cards = [stored.card for stored in self._usable.values() if stored.card]
        cards.sort(key=age, reverse=True)
        self._cards = {}
        for card in sorted(cards, key=lambda card: card.name):  # stable: newest first within a name
            self._cards.setdefault(card.name, []).append(card)

    def _size(self, name: str) -> int:
        """Bytes of a model's newest version."""
        return self._usable[name, self._cards[name][0].version].budget_bytes

    async def _update_aliases(self, name: str) -> None:
        """Moves each alias of a model to its target version once that version is warm."""
        candidates = {LATEST: [card.version for card in self._cards[name]]}
        try:
            targets = await asyncio.to_thread(aliases.read, self._root, name)
        except (AliasError, OSError) as error:  # the aliases stay
            self._warn_once(name, str(error))
        else:
            candidates |= {alias: [target] for alias, target in targets.items()}
            for alias in MOVABLE:
                if alias not in targets:
                    self._aliases.pop((name, alias), None)
        for alias, versions_in_order in candidates.items():
            now = self._aliases.get((name, alias))
            for version in versions_in_order:
                key = name, version
                if key in self._usable and (
                    version == now
                    or await self._preload(key, self._aliased() - {(name, now or "")})
                    or (now is None and key not in self._left_out)
                ):
                    self._aliases[name, alias] = version
                    break

    async def _preload(self, key: Key, keep_loaded: set[Key]) -> bool:
        """Loads a version ahead of requests; False if it does not load or there is no memory for it."""
        if key in self._unloaded:
            return True
        try:
            await self._load(key, keep_loaded)
        except ApiError as error:
            self._warn_once("/".join(key), error.message)
            return False
        return True

    async def _delete_old(self, name: str) -> None:
        """Deletes versions older than the newest `keep_versions`, unless an alias points at them."""
        surplus = self._cards[name][self._keep_versions :]
        if not surplus:
            return
        try:
            aliased = set((await asyncio.to_thread(aliases.read, self._root, name)).values())
            aliased |= {to for at, to in self._aliases.items() if at[0] == name}
            for card in surplus:
                if card.version not in aliased:
                    await asyncio.to_thread(versions.delete, self._root, name, card.version)
                    log.info("model deleted", extra={"model": name, "version": card.version})
        except (CgnInputError, OSError) as error:
            self._warn_once(name, f"old versions cannot be deleted: {error}")

    async def _load(self, key: Key, keep_loaded: set[Key]) -> None:
        """Loads a version, once for all callers that wait for it. Raises ApiError."""
        task = self._loads.get(key)
        if not task:
            task = self._loads[key] = asyncio.create_task(self._load_alone(key, keep_loaded))
            task.add_done_callback(lambda done: self._load_ended(key, done))
        await asyncio.shield(task)  # one caller's cancellation must not end the load of the others

    def _load_ended(self, key: Key, done: asyncio.Task[None]) -> None:
        del self._loads[key]
        if not done.cancelled():
            done.exception()  # marks it as retrieved: no caller may be left to receive it

    async def _load_alone(self, key: Key, keep_loaded: set[Key]) -> None:
        stored = self._usable.get(key)
        if not stored:  # removed meanwhile
            raise _not_found("version", key[1], [card.version for card in self._cards.get(key[0], [])])
        try:
            await self._loaded_models.load(key, stored, keep_loaded)
        except ApiError:
            raise
        except Exception as error:  # one bad version, whatever is wrong with it, must not stop the others
            self._leave_out(key, stored, str(error))
            self._rebuild_index()
            raise _broken(key, str(error)) from error

    def _leave_out(self, key: Key, stored: StoredVersion, reason: str) -> None:
        self._left_out[key] = replace(stored, reason=reason)
        log.error("model left out", extra={"model": key[0], "version": key[1], "reason": reason})

    def _warn_once(self, about: str, reason: str) -> None:
        """Logs once a problem that every scan meets again."""
        if self._warnings.get(about) != reason:
            self._warnings[about] = reason
            log.warning("models directory", extra={"about": about, "reason": reason})

    def _aliased(self) -> set[Key]:
        return {(name, version) for (name, _), version in self._aliases.items()}

    def _resolve(self, name: str, version: str) -> Key:
        """The version that a request names. Raises ApiError."""
        if (name, version) not in self._usable and (bad := self._left_out.get((name, version))):
            raise _broken((name, version), bad.reason)
        names = list(self._cards)
        if not names:
            message = (
                f"no model is served: {self._root} holds none that loads; train one with "
                "`python -m trainer train_cgn` or a TrainerService job, or set CGN_MODELS_DIR"
            )
            raise ApiError(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", message, [("model", message)])
        if not name:
            raise invalid("model", f"must be given; known: {_list(names)}")
        if name not in self._cards:
            raise _not_found("model", name, names)
        alias = version or LATEST
        if alias in RESERVED_VERSIONS:
            pointed = self._aliases.get((name, alias), "")
            newest = self._cards[name][0].version if alias == LATEST else ""
            version = pointed if (name, pointed) in self._usable else newest
        if (name, version) not in self._usable:
            known = [card.version for card in self._cards[name]]
            why = ", as it is not set (SetAlias sets it)" if alias in MOVABLE else ""
            raise _not_found("version", version or alias, known, why)
        return name, version

    def _version(self, key: Key) -> Version:
        stored, loaded = self._usable[key], self._loaded_models.get(key)
        model = loaded.model if loaded else None
        card = model.card if model else stored.card
        assert card  # every usable version has one
        pointing = (alias for alias in RESERVED_VERSIONS if self._aliases.get((key[0], alias)) == key[1])
        size = loaded.bytes if loaded else stored.budget_bytes
        return Version(card, model, key in self._unloaded, tuple(pointing), size)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """Runs work on the models directory in a thread. Raises ApiError."""
        try:
            return await asyncio.to_thread(work)
        except CgnInputError as error:
            raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "MODELS_DIRECTORY", str(error)) from error
        except OSError as error:
            message = f"the models directory cannot be written ({error}); this server needs the right to"
            raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "MODELS_DIRECTORY", message) from error


def _list(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _MAX_NAMES_IN_MESSAGE else ""
    return ", ".join(names[:_MAX_NAMES_IN_MESSAGE]) + more


def _not_found(field: str, value: str, known: Sequence[str], why: str = "") -> ApiError:
    description = f"{value!r:.80} is not served{why}; known: {_list(known)}"
    return ApiError(
        grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", f"{field}: {description}", [(field, description)]
    )


def _broken(key: Key, reason: str) -> ApiError:
    message = f"{'/'.join(key)} does not load: {reason}"
    return ApiError(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_BROKEN", message)
