"""Models on disk: ``<root>/<name>/<version>/{weights.safetensors, card.json}``.

A version is published once, by a rename, and never changes. Its identity is the digest of its weights.
Nothing here unpickles.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from cgn import card as cards
from cgn.card import ModelCard
from cgn.errors import CgnInputError
from cgn.families import build_network
from cgn.mechanisms.network import Network
from cgn.model import CGN

WEIGHTS = "weights.safetensors"
CARD = "card.json"


class CheckpointError(CgnInputError):
    """A model folder that cannot be used; the message names the file and what is wrong with it."""


class VersionExists(CheckpointError):
    """The version is already published, and a version never changes."""


def digest_tensors(tensors: dict[str, torch.Tensor]) -> str:
    """Digest of named tensors: names, types, shapes and bytes, whatever file they came in."""
    state = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        state.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        state.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return f"blake2b:{state.hexdigest()}"


def stored_tensors(network: Network, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The network's weights as they go to disk: floating point in ``dtype``, step counters left out."""
    return {
        name: tensor.detach().cpu().to(dtype).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def publish(
    root: Path, network: Network, *, dtype: torch.dtype = torch.float16, **card_fields: Any
) -> ModelCard:
    """Writes a new version so that a reader sees all of it or nothing.

    Args:
        root: the models folder.
        network: the weights to store.
        dtype: how they are stored; half precision halves the file, and what is loaded is what counts.
        **card_fields: the fields of ModelCard but its digest.

    Raises:
        VersionExists: the version is there already; nothing was written.
        CgnInputError: a field of the card is impossible; nothing was written.
    """
    tensors = stored_tensors(network, dtype)
    if bad := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise CheckpointError("weights", f"{bad[0]} is not finite as {dtype}; nothing was published")
    card = ModelCard(digest=digest_tensors(tensors), **card_fields)
    target = root / card.name / card.version
    if target.exists():
        raise VersionExists("version", f"{target} exists; a published version never changes")
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name that no reader takes for a version: check_version refuses a leading dot.
    part = Path(tempfile.mkdtemp(prefix=".publishing-", dir=target.parent))
    try:
        _write(part / WEIGHTS, save_tensors(tensors))
        _write(part / CARD, card.to_json().encode())
        part.chmod(0o755)
        # Renaming onto a folder with files in it fails, so of two publishers one loses cleanly.
        os.rename(part, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise VersionExists("version", f"{target} exists; a published version never changes") from None
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return card


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def version_dir(root: Path, name: str, version: str) -> Path:
    """Folder of a version below ``root``.

    Raises:
        CheckpointError: the folder or a file in it leads out of ``root`` by a symbolic link.
    """
    path = root / cards.check_name(name) / cards.check_version(version)
    for entry in (path, path / WEIGHTS, path / CARD):
        if not entry.resolve().is_relative_to(root.resolve()):
            raise CheckpointError("path", f"{entry} leads out of {root}; put the file itself there")
    return path


def versions(root: Path) -> list[tuple[str, str]]:
    """Every (name, version) below ``root`` that is named like a model, unordered, without opening it."""
    found = []
    for path in root.glob(f"*/*/{CARD}"):
        name, version = path.parts[-3:-1]
        try:
            found.append((cards.check_name(name), cards.check_version(version)))
        except CgnInputError:
            continue
    return found


def read_card(root: Path, name: str, version: str) -> ModelCard:
    """The card of a version, checked against the folder it lies in."""
    path = version_dir(root, name, version)
    try:
        card = ModelCard.from_json((path / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError("path", f"there is no model at {path}") from None
    except (CgnInputError, UnicodeDecodeError) as error:
        raise CheckpointError("card", f"{path / CARD}: {error}") from None
    if (card.name, card.version) != (name, version):
        raise CheckpointError("card", f"{path / CARD} says {card.name}/{card.version}")
    return card


def newest_version(root: Path, name: str) -> str:
    """The version of a model whose card was created last.

    Raises:
        CheckpointError: there is no readable version.
    """
    cards.check_name(name)
    dated = []
    for found, version in versions(root):
        if found == name:
            try:
                dated.append((read_card(root, name, version).created_at, version))
            except CheckpointError:
                continue
    if not dated:
        known = sorted({found for found, _ in versions(root)})
        raise CheckpointError("model", f"no model {name!r} in {root}; known: {', '.join(known) or 'none'}")
    return max(dated)[1]


def load(root: Path, name: str, version: str = "", device: torch.device | str = "cpu") -> CGN:
    """Loads a version (empty: the newest) onto a device.

    Raises:
        CheckpointError: missing, truncated or damaged files, or a card that does not fit its weights.
    """
    version = version or newest_version(root, name)
    card = read_card(root, name, version)
    path = version_dir(root, name, version) / WEIGHTS
    try:
        tensors = load_tensors(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError("weights", f"{path} is missing") from None
    except SafetensorError as error:
        raise CheckpointError("weights", f"{path} is truncated or damaged ({error})") from None
    if (digest := digest_tensors(tensors)) != card.digest:
        raise CheckpointError("digest", f"{path} has {digest}, its card says {card.digest}")
    try:
        network = build_network(card.family, card.architecture, len(card.class_names), card.resolution)
    except CgnInputError as error:
        raise CheckpointError("card", f"{path.with_name(CARD)}: {error}") from None
    _check_fit(path, card, network, tensors)
    network.load_state_dict(tensors, strict=False)
    return CGN(network, card, device)


def _check_fit(path: Path, card: ModelCard, network: Network, tensors: dict[str, torch.Tensor]) -> None:
    """Raises CheckpointError unless the file has the network's tensors, each in its shape."""
    if card.latent_size != network.latent:
        raise CheckpointError("card", f"{path.with_name(CARD)}: latent_size must be {network.latent}")
    expected_shapes = {name: t.shape for name, t in stored_tensors(network, torch.float32).items()}
    if missing := sorted(expected_shapes.keys() - tensors.keys()):
        raise CheckpointError("weights", f"{path} lacks {', '.join(missing[:5])} ({len(missing)} missing)")
    if unknown := sorted(tensors.keys() - expected_shapes.keys()):
        raise CheckpointError("weights", f"{path} has unknown {', '.join(unknown[:5])}")
    for name, shape in expected_shapes.items():
        if tensors[name].shape != shape:
            raise CheckpointError(
                "weights", f"{path}: {name} is {tuple(tensors[name].shape)}, the card needs {tuple(shape)}"
            )
        if not torch.isfinite(tensors[name]).all():
            raise CheckpointError("weights", f"{path}: {name} is not finite")
