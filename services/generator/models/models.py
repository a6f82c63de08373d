"""The models that can be asked for: the models directory, watched, and the aliases of its versions."""

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
from services.generator.models.catalog import Key, Stored, look
from services.generator.models.describe import Version, age
from services.generator.models.residents import Residents

SCAN_SECONDS = 1.0
_MOST_NAMES_IN_MESSAGE = 20

T = TypeVar("T")

log = logging.getLogger(__name__)


class Models:
    """Every version in the models directory that can be used.

    What an alias points at is loaded ahead of requests, as far as there is memory; other versions when they
    are first asked for. An alias moves when its new version is warm, and a version that does not load moves
    none: it is logged once, and left out until its files change. Lives on the event loop.
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
        self._residents = Residents(root, device, precision, engine, budget_bytes, metrics)
        self._looked: dict[Key, Stored] = {}  # what the last look found
        self._stored: dict[Key, Stored] = {}  # what can be used of it
        self._cards: dict[str, list[ModelCard]] = {}  # of these, by name, newest first
        self._left_out: dict[Key, Stored] = {}  # what cannot, and why
        self._unloaded: set[Key] = set()
        self._aliases: dict[tuple[str, str], str] = {}  # name and alias -> version, as requests see them
        self._loads: dict[Key, asyncio.Task[None]] = {}
        self._one_scan = asyncio.Lock()
        self._complaints: dict[str, str] = {}  # the last one about each thing

    def all(self) -> list[Version]:
        """Every version that can be asked for, by name, newest first."""
        return [self._version((card.name, card.version)) for cards in self._cards.values() for card in cards]

    def find(self, name: str, version: str) -> Version:
        """A version that can be asked for, by itself or by an alias; empty is "latest".

        Raises:
            ApiError: INVALID_ARGUMENT without a name, NOT_FOUND (MODEL_NOT_FOUND) with the known ones,
                FAILED_PRECONDITION (MODEL_BROKEN) with the reason.
        """
        return self._version(self._resolve(name, version))

    @asynccontextmanager
    async def serving(self, name: str, version: str) -> AsyncIterator[ModelCard]:
        """A version's card, its rows to be had from the engine all along, whatever becomes of the version.

        Raises:
            ApiError: as `find`; FAILED_PRECONDITION where it was unloaded or does not load;
                RESOURCE_EXHAUSTED where there is no memory for it.
        """
        key = self._resolve(name, version)
        while not (resident := self._residents.get(key)) or key in self._unloaded:
            if key in self._unloaded:
                message = f"{'/'.join(key)} was unloaded; LoadModel serves it again"
                raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_UNLOADED", message)
            try:
                await self._load(key, set())
            except ApiError:
                if (instead := self._resolve(name, version)) == key:
                    raise
                key = instead  # an alias has turned away from a version that does not load
        with self._residents.used(resident) as card:
            yield card

    async def load(self, name: str, version: str) -> Version:
        """Loads a version, also one that was unloaded or did not load before. Raises ApiError."""
        if self._left_out.pop((name, version), None):
            self._looked.pop((name, version), None)
        await self.scan()
        if bad := self._left_out.get((name, version)):
            raise _broken((name, version), bad.reason)
        key = self._resolve(name, version)
        await self._load(key, set())
        self._unloaded.discard(key)
        return self._version(key)

    def unload(self, name: str, version: str) -> Version:
        """Refuses further requests for a version, and frees its memory after those under way.

        Raises:
            ApiError: as `find`.
        """
        key = self._resolve(name, version)
        self._unloaded.add(key)
        if self._residents.get(key):
            self._residents.unload(key, "call")
        return self._version(key)

    async def delete(self, name: str, version: str) -> None:
        """Removes a version from the disk. Raises ApiError."""
        if not version or version in RESERVED_VERSIONS:
            raise invalid("version", f"{version!r} must name the version itself, no alias")
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
        """Points an alias at a version once that is loaded; empty: takes it away. Raises ApiError."""
        if alias not in MOVABLE:
            raise invalid("alias", f"{alias!r:.80} cannot be moved; use {', '.join(MOVABLE)}")
        if version in RESERVED_VERSIONS:
            raise invalid("version", f"{version!r} must name the version itself, no alias")
        after = await self.load(name, version) if version else self.find(name, "")
        await self._on_disk(lambda: aliases.move(self._root, name, alias, version))
        await self.scan()
        return self._version((after.card.name, after.card.version))

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
        """Finds what is new, moves aliases to it once it is warm, and unloads what is gone."""
        async with self._one_scan:
            self._looked = await asyncio.to_thread(look, self._root, self._precision, self._looked)
            self._left_out = {
                key: bad
                for key, bad in self._left_out.items()
                if key in self._looked and self._looked[key].stamp == bad.stamp
            }
            for key, stored in sorted(self._looked.items()):
                if stored.reason and key not in self._left_out:
                    self._leave_out(key, stored, stored.reason)
            self._sort()
            if not self._cards:
                self._complain(str(self._root), "holds no model that loads; all calls end by NOT_FOUND")
            for key, resident in self._residents.items():
                if key in self._stored and self._stored[key].stamp != resident.stamp:
                    await self._ahead(key, self._aliased())  # published anew: the old one serves until then
            for name in sorted(self._cards, key=self._weight):  # small ones need not wait for a large one
                await self._point(name)
            for key, _ in self._residents.items():
                if key not in self._looked:
                    self._residents.unload(key, "gone")
            self._unloaded &= self._looked.keys()
            self._aliases = {at: to for at, to in self._aliases.items() if at[0] in self._cards}
            if self._keep_versions:
                for name in list(self._cards):
                    await self._retain(name)

    def _sort(self) -> None:
        """Makes of what was found, and not left out, what can be asked for."""
        # Files that were replaced by bad ones: the model that they gave serves on.
        kept = {
            key: stored
            for key, stored in self._stored.items()
            if key in self._left_out and self._residents.get(key)
        }
        self._stored = kept | {k: stored for k, stored in self._looked.items() if k not in self._left_out}
        cards = [stored.card for stored in self._stored.values() if stored.card]
        cards.sort(key=age, reverse=True)
        self._cards = {}
        for card in sorted(cards, key=lambda card: card.name):  # stable: newest first within a name
            self._cards.setdefault(card.name, []).append(card)

    def _weight(self, name: str) -> int:
        """Bytes of a model's newest version."""
        return self._stored[name, self._cards[name][0].version].budget_bytes

    async def _point(self, name: str) -> None:
        """Moves a model's aliases to where they should be, as soon as the version there is warm."""
        wanted = {LATEST: [card.version for card in self._cards[name]]}
        try:
            targets = await asyncio.to_thread(aliases.read, self._root, name)
        except (AliasError, OSError) as error:  # they stay
            self._complain(name, str(error))
        else:
            wanted |= {alias: [target] for alias, target in targets.items()}
            for alias in MOVABLE:
                if alias not in targets:
                    self._aliases.pop((name, alias), None)
        for alias, candidates in wanted.items():
            now = self._aliases.get((name, alias))
            for version in candidates:
                key = name, version
                if key in self._stored and (
                    version == now
                    or await self._ahead(key, self._aliased() - {(name, now or "")})
                    or (now is None and key not in self._left_out)
                ):
                    self._aliases[name, alias] = version
                    break

    async def _ahead(self, key: Key, spared: set[Key]) -> bool:
        """Loads a version ahead of requests; False if it does not load, or not for want of memory."""
        if key in self._unloaded:
            return True
        try:
            await self._load(key, spared)
        except ApiError as error:
            self._complain("/".join(key), error.message)
            return False
        return True

    async def _retain(self, name: str) -> None:
        """Deletes the oldest versions that nothing points at, but for so many as are to be kept."""
        surplus = self._cards[name][self._keep_versions :]
        if not surplus:
            return
        try:
            spared = set((await asyncio.to_thread(aliases.read, self._root, name)).values())
            spared |= {to for at, to in self._aliases.items() if at[0] == name}
            for card in surplus:
                if card.version not in spared:
                    await asyncio.to_thread(versions.delete, self._root, name, card.version)
                    log.info("model deleted", extra={"model": name, "version": card.version})
        except (CgnInputError, OSError) as error:
            self._complain(name, f"old versions cannot be deleted: {error}")

    async def _load(self, key: Key, spared: set[Key]) -> None:
        """Loads a version, once for all who wait for it. Raises ApiError."""
        task = self._loads.get(key)
        if not task:
            task = self._loads[key] = asyncio.create_task(self._load_now(key, spared))
            task.add_done_callback(lambda done: self._loaded(key, done))
        await asyncio.shield(task)  # a caller who goes away takes it from nobody

    def _loaded(self, key: Key, done: asyncio.Task[None]) -> None:
        del self._loads[key]
        if not done.cancelled():
            done.exception()  # which nobody may be left to be told

    async def _load_now(self, key: Key, spared: set[Key]) -> None:
        stored = self._stored.get(key)
        if not stored:  # removed meanwhile
            raise _not_found("version", key[1], [card.version for card in self._cards.get(key[0], [])])
        try:
            await self._residents.load(key, stored, spared)
        except ApiError:
            raise
        # Whatever is wrong with one version, the others go on.
        except Exception as error:
            self._leave_out(key, stored, str(error))
            self._sort()
            raise _broken(key, str(error)) from error

    def _leave_out(self, key: Key, stored: Stored, reason: str) -> None:
        self._left_out[key] = replace(stored, reason=reason)
        log.error("model left out", extra={"model": key[0], "version": key[1], "reason": reason})

    def _complain(self, about: str, reason: str) -> None:
        """Logs what a scan meets every second, once."""
        if self._complaints.get(about) != reason:
            self._complaints[about] = reason
            log.warning("models directory", extra={"about": about, "reason": reason})

    def _aliased(self) -> set[Key]:
        return {(name, version) for (name, _), version in self._aliases.items()}

    def _resolve(self, name: str, version: str) -> Key:
        """The version that a request means. Raises ApiError."""
        if (name, version) not in self._stored and (bad := self._left_out.get((name, version))):
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
            version = pointed if (name, pointed) in self._stored else newest
        if (name, version) not in self._stored:
            known = [card.version for card in self._cards[name]]
            why = ", as it is not set (SetAlias sets it)" if alias in MOVABLE else ""
            raise _not_found("version", version or alias, known, why)
        return name, version

    def _version(self, key: Key) -> Version:
        stored, resident = self._stored[key], self._residents.get(key)
        model = resident.model if resident else None
        card = model.card if model else stored.card
        assert card  # of all that can be asked for
        pointing = (alias for alias in RESERVED_VERSIONS if self._aliases.get((key[0], alias)) == key[1])
        size = resident.bytes if resident else stored.budget_bytes
        return Version(card, model, key in self._unloaded, tuple(pointing), size)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """Does something in the models directory, in a thread. Raises ApiError."""
        try:
            return await asyncio.to_thread(work)
        except CgnInputError as error:
            raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "MODELS_DIRECTORY", str(error)) from error
        except OSError as error:
            message = f"the models directory cannot be written ({error}); this server needs the right to"
            raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "MODELS_DIRECTORY", message) from error


def _list(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _MOST_NAMES_IN_MESSAGE else ""
    return ", ".join(names[:_MOST_NAMES_IN_MESSAGE]) + more


def _not_found(field: str, value: str, known: Sequence[str], why: str = "") -> ApiError:
    description = f"{value!r:.80} is not served{why}; known: {_list(known)}"
    return ApiError(
        grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", f"{field}: {description}", [(field, description)]
    )


def _broken(key: Key, reason: str) -> ApiError:
    message = f"{'/'.join(key)} does not load: {reason}"
    return ApiError(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_BROKEN", message)
