"""What is in the models directory: a look at it reads only what has changed since the last one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cgn.card import CARD_FILE, ModelCard
from cgn.families.family import Precision
from cgn.store import versions, weights
from services.generator.models.describe import card_message

Key = tuple[str, str]  # name, version
Stamp = tuple[tuple[int, int, int], ...]  # (inode, mtime in ns, bytes) of the version's files


@dataclass(frozen=True)
class Stored:
    """A version on disk.

    Attributes:
        stamp: a mark of its files that changes when they do.
        card: None where the version cannot be used.
        budget_bytes: what it counts for when it is resident.
        reason: why it cannot be used; empty where it can, as far as one can tell without loading it.
    """

    stamp: Stamp
    card: ModelCard | None = None
    budget_bytes: int = 0
    reason: str = ""


def look(root: Path, precision: Precision, before: Mapping[Key, Stored]) -> dict[Key, Stored]:
    """Every version below root. before: what the last look found. Raises OSError, RuntimeError."""
    found = {}
    for name, version in versions.all_versions(root):
        stamp = _stamp(root / name / version)
        known = before.get((name, version))
        if known and known.stamp == stamp:
            found[name, version] = known
        else:
            found[name, version] = _read(root, name, version, precision, stamp)
    return found


def _stamp(folder: Path) -> Stamp:
    stats = []
    for file in (CARD_FILE, versions.WEIGHTS_FILE):
        try:
            stat = (folder / file).stat()
            stats.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
        except FileNotFoundError:
            stats.append((0, 0, 0))
    return tuple(stats)


def _read(root: Path, name: str, version: str, precision: Precision, stamp: Stamp) -> Stored:
    try:
        card = versions.read_card(root, name, version)
        card_message(card)  # values of impossible sizes fail here, and not in ListModels
        return Stored(stamp, card, weights.resident_bytes(root, card, precision))
    # Whatever is wrong with one version, the others go on.
    except Exception as error:
        return Stored(stamp, reason=str(error))
