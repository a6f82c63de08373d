"""Scans the models directory: a scan reads only the versions that have changed since the scan before."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cgn.card import CARD_FILE, ModelCard
from cgn.families.family import Precision
from cgn.store import versions, weights
from services.generator.models.describe import card_message

Key = tuple[str, str]  # name, version
Stamp = tuple[tuple[int, int, int], ...]  # (inode, mtime in ns, bytes) of each of the version's files


@dataclass(frozen=True)
class StoredVersion:
    """A version on disk.

    Attributes:
        stamp: changes when the version's files change.
        card: None if the version cannot be used.
        budget_bytes: what the version counts against the memory budget when it is loaded.
        reason: why the version cannot be used, as far as that shows without loading it; else empty.
    """

    stamp: Stamp
    card: ModelCard | None = None
    budget_bytes: int = 0
    reason: str = ""


def scan_models_dir(
    root: Path, precision: Precision, before: Mapping[Key, StoredVersion]
) -> dict[Key, StoredVersion]:
    """Every version below root. before: result of the scan before. Raises OSError, RuntimeError."""
    scanned: dict[Key, StoredVersion] = {}
    for name, version in versions.all_versions(root):
        stamp = _stamp(root / name / version)
        known = before.get((name, version))
        if known and known.stamp == stamp:
            scanned[name, version] = known
        else:
            scanned[name, version] = _read(root, name, version, precision, stamp)
    return scanned


def _stamp(folder: Path) -> Stamp:
    stats = []
    for file in (CARD_FILE, versions.WEIGHTS_FILE):
        try:
            stat = (folder / file).stat()
            stats.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
        except FileNotFoundError:
            stats.append((0, 0, 0))
    return tuple(stats)


def _read(root: Path, name: str, version: str, precision: Precision, stamp: Stamp) -> StoredVersion:
    try:
        card = versions.read_card(root, name, version)
        card_message(card)  # a value that does not fit into the message fails here, not in ListModels
        return StoredVersion(stamp, card, weights.resident_bytes(root, card, precision))
    except Exception as error:  # one bad version, whatever is wrong with it, must not stop the others
        return StoredVersion(stamp, reason=str(error))
