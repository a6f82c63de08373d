"""The models folder: ``<root>/<name>/<version>/{weights.safetensors, card.json}``.

A version is published once, by a rename, and never changes. Nothing here reads weights, and nothing here
imports torch: processes without torch look at models too.
"""

import os
import shutil
import tempfile
from pathlib import Path

from cgn import card as cards
from cgn.card import CARD_FILE, ModelCard
from cgn.errors import CgnInputError

WEIGHTS_FILE = "weights.safetensors"


class CheckpointError(CgnInputError):
    """A version that cannot be used; the message names the file and the fault."""


class VersionExists(CheckpointError):
    """The version is already published, and a version never changes."""


def version_dir(root: Path, name: str, version: str) -> Path:
    """Returns the folder of a version below ``root``; the folder need not exist.

    Raises:
        CgnInputError: an impossible name or version.
        CheckpointError: the folder or a file in it leads out of ``root`` by a symbolic link.
    """
    path = root / cards.check_name(name) / cards.check_version(version)
    for entry in (path, path / WEIGHTS_FILE, path / CARD_FILE):
        if not entry.resolve().is_relative_to(root.resolve()):
            raise CheckpointError("path", f"{entry} leads out of {root}; put the file itself there")
    return path


def all_versions(root: Path) -> list[tuple[str, str]]:
    """Returns every (name, version) below ``root`` whose folder is named like a model, unordered.

    A version counts if it has a card file, which is not opened.
    """
    versions = []
    for path in root.glob(f"*/*/{CARD_FILE}"):
        name, version = path.parts[-3:-1]
        try:
            versions.append((cards.check_name(name), cards.check_version(version)))
        except CgnInputError:
            continue
    return versions


def read_card(root: Path, name: str, version: str) -> ModelCard:
    """Returns the card of a version.

    Raises:
        CheckpointError: no such version, a damaged card, or a card of another name or version.
    """
    path = version_dir(root, name, version)
    try:
        card = ModelCard.from_json((path / CARD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError("path", f"there is no model at {path}") from None
    except (CgnInputError, UnicodeDecodeError) as error:
        raise CheckpointError("card", f"{path / CARD_FILE}: {error}") from None
    if (card.name, card.version) != (name, version):
        raise CheckpointError("card", f"{path / CARD_FILE} says {card.name}/{card.version}")
    return card


def newest_version(root: Path, name: str) -> str:
    """Returns the version of a model whose card was created last.

    Raises:
        CheckpointError: the model has no readable version.
    """
    cards.check_name(name)
    dated = []
    for model, version in all_versions(root):
        if model == name:
            try:
                dated.append((read_card(root, name, version).created_at, version))
            except CheckpointError:
                continue
    if not dated:
        known = ", ".join(sorted({model for model, _ in all_versions(root)})) or "none"
        raise CheckpointError("model", f"no model {name!r} in {root}; known: {known}")
    return max(dated)[1]


def delete(root: Path, name: str, version: str) -> None:
    """Deletes a version: readers lose sight of it at once, then its files are removed.

    Processes that have loaded the version are not disturbed.

    Raises:
        CheckpointError: there is no such version, or it leads out of ``root``.
        OSError: the folder cannot be written.
    """
    path = version_dir(root, name, version)
    # Readers do not take this name for a version: check_version refuses a leading dot.
    scratch = Path(tempfile.mkdtemp(prefix=".deleting-", dir=path.parent)) if path.parent.is_dir() else None
    try:
        if not scratch or not path.is_dir():
            raise CheckpointError("path", f"there is no model at {path}")
        os.rename(path, scratch)
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
