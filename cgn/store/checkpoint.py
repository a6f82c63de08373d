"""Publishing and loading: from a network in memory to a version on disk, and back.

A version's identity is the digest of its weights.
"""

import errno
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import save as save_tensors
from torch import nn

from cgn.card import CARD_FILE, UNPUBLISHED, ModelCard
from cgn.errors import CgnInputError
from cgn.families.family import Family, Precision, Weights
from cgn.families.network import Network
from cgn.families.table import build_network, find_family
from cgn.model import CGN
from cgn.store.files import sync_directory, write_synced
from cgn.store.versions import (
    WEIGHTS_FILE,
    CheckpointError,
    VersionExists,
    newest_version,
    read_card,
    version_dir,
)
from cgn.store.weights import WeightsFile, check_fit, digest_model, stored_tensors

N = TypeVar("N", bound=Network)


def publish(
    root: Path,
    network: nn.Module,
    *,
    dtype: torch.dtype = torch.float16,
    only_while: Path | None = None,
    attempt: str = "",
    **card_fields: Any,
) -> ModelCard:
    """Publishes a new version, so that a reader sees all of it or nothing, and returns its card.

    Args:
        root: the models folder.
        network: the weights to store.
        dtype: type of the stored weights. Half precision halves the file; rows come from the stored weights.
        only_while: a directory that must still exist when the version appears: the run's directory, which
            disappears once another process has taken the run over.
        attempt: part of the temporary folder's name, so that other processes know which attempt owns it.
        **card_fields: the fields of ModelCard except its digest.

    Raises:
        VersionExists: the version is already published; nothing was written.
        CgnInputError: a field of the card is impossible, ``only_while`` is gone, or the written files do not
            read back as written; nothing was published.
    """
    tensors = stored_tensors(network, dtype)
    if bad := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise CheckpointError("weights", f"{bad[0]} is not finite as {dtype}; nothing was published")
    digest = digest_model(tensors, card_fields["family"], card_fields["architecture"])
    card = ModelCard(digest=digest, **card_fields)
    target = root / card.name / card.version
    if target.exists():
        raise VersionExists("version", f"{target} exists; a published version never changes")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Readers do not take this name for a version: check_version refuses a leading dot.
    part = Path(tempfile.mkdtemp(prefix=f"{UNPUBLISHED}{card.version}-{attempt}-", dir=target.parent))
    try:
        write_synced(part / WEIGHTS_FILE, save_tensors(tensors))
        write_synced(part / CARD_FILE, card.to_json().encode())
        part.chmod(0o755)
        sync_directory(part)
        _check_written(part, card)
        if only_while and not only_while.is_dir():
            raise CheckpointError("run_dir", f"{only_while} is gone: the run has been taken over elsewhere")
        # Renaming onto a folder with files in it fails, so one of two concurrent publishers loses cleanly.
        os.rename(part, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise VersionExists("version", f"{target} exists; a published version never changes") from None
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    sync_directory(target.parent)
    return card


def load(
    root: Path,
    name: str,
    version: str = "",
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
) -> CGN:
    """Loads a version in its served form.

    Args:
        root: the models folder.
        name: name of the model.
        version: version of the model; empty: the newest.
        device: device to run on.
        precision: precision of weights and maps; mnist_authors keeps its norms in float32.

    Raises:
        CheckpointError: missing, truncated or damaged files, or a card that does not fit its weights.
    """
    card, path, weights = _open(root, name, version)
    family, classes = find_family(card.family), len(card.class_names)
    try:
        network = family.serve(
            card.architecture, classes, card.resolution, weights, torch.device(device), precision
        )
    except CgnInputError as error:
        raise CheckpointError("weights", f"{path}: {error}") from None
    if card.latent_size != network.latent:
        raise CheckpointError("card", f"{path.with_name(CARD_FILE)}: latent_size must be {network.latent}")
    return CGN(network, card, device)


def load_trained(root: Path, name: str, version: str = "") -> tuple[Network, ModelCard]:
    """Loads a version (empty: the newest) in its trained form, in float32 on the CPU, with its card.

    Raises:
        CheckpointError: missing, truncated or damaged files, or a card that does not fit its weights.
    """
    card, _, weights = _open(root, name, version)
    return _filled(find_family(card.family), card, weights), card


def load_trained_of(family: Family[N], root: Path, name: str, version: str = "") -> tuple[N, ModelCard]:
    """Loads a version of one family in its trained form; otherwise as `load_trained`.

    Raises:
        CheckpointError: as `load_trained`, or the model is of another family.
    """
    card, _, weights = _open(root, name, version)
    if card.family != family.name:
        what = f"{card.name} {card.version} must be of family {family.name}, is of {card.family}"
        raise CheckpointError("family", what)
    return _filled(family, card, weights), card


def _filled(family: Family[N], card: ModelCard, weights: Weights) -> N:
    network = family.build(card.architecture, len(card.class_names), card.resolution)
    network.load_state_dict(dict(weights), strict=False)  # step counters are not stored
    return network


def _open(root: Path, name: str, version: str) -> tuple[ModelCard, Path, Weights]:
    """Returns card, file and weights of a version (empty: the newest), checked against each other."""
    version = version or newest_version(root, name)
    card = read_card(root, name, version)
    path = version_dir(root, name, version) / WEIGHTS_FILE
    try:
        network = _shapes(card)
    except CgnInputError as error:
        raise CheckpointError("card", f"{path.with_name(CARD_FILE)}: {error}") from None
    try:
        weights = WeightsFile(path)
        digest = digest_model(weights, card.family, card.architecture)
    except FileNotFoundError:
        raise CheckpointError("weights", f"{path} is missing") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError("weights", f"{path} is truncated or damaged ({error})") from None
    if digest != card.digest:
        raise CheckpointError("digest", f"{path} has {digest}, its card says {card.digest}")
    check_fit(path, network, weights)
    return card, path, weights


def _check_written(part: Path, card: ModelCard) -> None:
    """Reads back a version before it is published. Raises CheckpointError if it differs, OSError."""
    try:
        weights = WeightsFile(part / WEIGHTS_FILE)
        digest = digest_model(weights, card.family, card.architecture)
        read = ModelCard.from_json((part / CARD_FILE).read_text(encoding="utf-8"))
        network = _shapes(card)
    except (SafetensorError, CgnInputError) as error:
        raise CheckpointError("weights", f"{card.name} cannot be read as written ({error})") from None
    if (digest, read.to_json()) != (card.digest, card.to_json()):  # as JSON, in which a tuple is a list
        raise CheckpointError("weights", f"{card.name} is not what was to be written; nothing was published")
    check_fit(part / WEIGHTS_FILE, network, weights)


def _shapes(card: ModelCard) -> Network:
    """Returns the card's network with names and shapes alone. Raises CgnInputError for impossible sizes."""
    sizes = tuple(sorted(card.architecture.items()))
    return _network_without_weights(card.family, sizes, len(card.class_names), card.resolution)


# Versions of a model have the same sizes, and a large network takes a second to build.
@lru_cache(maxsize=8)
def _network_without_weights(
    family: str, architecture: tuple[tuple[str, int], ...], classes: int, resolution: int
) -> Network:
    with torch.device("meta"):
        return build_network(family, dict(architecture), classes, resolution)
