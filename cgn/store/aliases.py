"""Names that move from one version of a model to the next: ``<root>/<name>/aliases.json``.

``latest`` is never written down: it is the newest version that loads. ``stable`` is the version that somebody
has said to be good: a person, or a job whose gates have passed. The file is replaced as a whole by a rename,
so a reader sees the old one or the new one, and every writer holds a lock from reading to renaming.

No torch in here: a worker moves aliases too.
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
    """Somebody with a higher fencing token has moved the alias; it stayed where that one put it."""


@dataclass(frozen=True)
class Target:
    """Where an alias points.

    Attributes:
        version: of the same model; empty: nowhere, the alias was taken away.
        token: the highest fencing token that the alias was ever moved with; 0: none yet.
    """

    version: str
    token: int = 0


def read(root: Path, name: str) -> dict[str, str]:
    """The versions that a model's aliases point at, without `latest`; empty where none was set.

    Raises:
        AliasError: the file is damaged; the message says which, and what to do.
    """
    return {alias: target.version for alias, target in _read(root, name).items() if target.version}


def move(root: Path, name: str, alias: str, version: str, token: int | None = None) -> None:
    """Points an alias at a published version, or takes it away.

    Args:
        root: the models folder.
        name: of the model.
        alias: one of MOVABLE.
        version: where to; empty: nowhere.
        token: the fencing token of whoever moves it, 1 or more, higher for whoever came later: a writer that
            has been overtaken is refused. None: a person, who is never refused, and whose move any later
            token may overrule.

    Raises:
        CgnInputError: an impossible name, alias, or token; the alias stays.
        AliasError: there is no such version, or the file is damaged.
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
                raise CgnInputError("token", f"{target.token!r} is no token")
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:  # not JSON, not UTF-8, or of another form
        cure = "remove it and set the aliases again"
        raise AliasError("aliases", f"{path} is damaged ({error}); {cure}") from None
    return targets


def _write(folder: Path, targets: Mapping[str, Target]) -> None:
    text = json.dumps({alias: asdict(target) for alias, target in targets.items()}, indent=2) + "\n"
    with atomic_write(folder / FILE) as part:
        part.write_text(text, encoding="utf-8")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a model's aliases, which the system gives back if the holder dies."""
    with (folder / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
