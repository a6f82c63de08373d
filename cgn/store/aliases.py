"""Aliases: names that move from one version of a model to another, ``<root>/<name>/aliases.json``.

``latest`` is not stored; it is the newest version that loads. ``stable`` is the version that a person, or a
job whose gates have passed, has declared good. The file is replaced by a rename, so a reader sees the old or
the new content. A writer holds a lock from reading to renaming.

This module does not import torch: a worker without torch moves aliases too.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cgn import card as cards
from cgn.errors import CgnInputError
from cgn.store.files import atomic_write

LATEST, STABLE = cards.RESERVED_VERSIONS
MOVABLE = (STABLE,)
FILE = "aliases.json"
_LOCK = ".aliases.lock"


class AliasError(CgnInputError):
    """An alias cannot be read or moved; the message names the file or the version and what to do."""


class StaleToken(AliasError):
    """A writer with a higher fencing token has moved the alias before; the alias was not changed."""


@dataclass(frozen=True)
class Target:
    """The target of an alias.

    Attributes:
        version: a version of the same model; empty: the alias was removed.
        token: the highest fencing token with which the alias was moved; 0: none.
    """

    version: str
    token: int = 0


def read(root: Path, name: str) -> dict[str, str]:
    """Returns the version of each of a model's aliases, without `latest`.

    Raises:
        AliasError: the file is damaged; the message names it and the cure.
    """
    return {alias: target.version for alias, target in _read(root, name).items() if target.version}


def move(root: Path, name: str, alias: str, version: str, token: int | None = None) -> None:
    """Moves an alias to a published version, or removes it.

    Args:
        root: the models folder.
        name: name of the model.
        alias: one of MOVABLE.
        version: the new target; empty: remove the alias.
        token: the writer's fencing token, 1 or more. Later writers have higher tokens; a lower token than
            the last one is refused. None: a person, who is never refused and leaves the token unchanged.

    Raises:
        CgnInputError: an impossible name, alias, or token; the alias stays.
        AliasError: the version does not exist, or the file is damaged.
        StaleToken: the alias was moved with a higher token.
        OSError: the folder cannot be written.
    """
    cards.check_name(name)
    if alias not in MOVABLE:
        cure = f"{LATEST} follows the newest version by itself" if alias == LATEST else "no such alias"
        raise CgnInputError("alias", f"{alias!r} cannot be moved ({cure}); use {', '.join(MOVABLE)}")
    if token is not None and (isinstance(token, bool) or token < 1):
        raise CgnInputError("token", f"{token!r} must be an integer, 1 or more")
    if version:
        cards.check_version(version)
    published = root / name / version
    if not (published / cards.CARD_FILE if version else published).exists():
        raise AliasError("version" if version else "model", f"there is no model at {published}")
    with _locked(root / name):
        targets = _read(root, name)
        highest = targets[alias].token if alias in targets else 0
        if token is not None and token < highest:
            raise StaleToken("token", f"{token} is overtaken: {name}'s {alias} was moved with {highest}")
        targets[alias] = Target(version, highest if token is None else token)
        _write(root / name, targets)


def _read(root: Path, name: str) -> dict[str, Target]:
    path = root / cards.check_name(name) / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8")).items()
        targets = {alias: Target(**target) for alias, target in data if alias in MOVABLE}
        for target in targets.values():
            if target.version:
                cards.check_version(target.version)
            if not isinstance(target.token, int) or target.token < 0:
                raise CgnInputError("token", f"{target.token!r} is not a token")
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:  # not JSON, not UTF-8, or another structure
        cure = "remove it and set the aliases again"
        raise AliasError("aliases", f"{path} is damaged ({error}); {cure}") from None
    return targets


def _write(folder: Path, targets: Mapping[str, Target]) -> None:
    text = json.dumps({alias: asdict(target) for alias, target in targets.items()}, indent=2) + "\n"
    with atomic_write(folder / FILE) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a model's aliases; the system releases it if the holder dies."""
    with (folder / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
