"""Models on disk: ``<root>/<name>/<version>/{weights.safetensors, card.json}``.

A version is published once, by a rename, and never changes. Its identity is the digest of its weights.
Nothing here unpickles.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import nn

from cgn import card as cards
from cgn.card import UNPUBLISHED, ModelCard
from cgn.errors import CgnInputError
from cgn.families.table import Precision, Weights, build_network, find_family
from cgn.model import CGN

WEIGHTS = "weights.safetensors"
CARD = "card.json"
_MAPPED_BYTES = 16 * 2**20  # read of a weights file, after which it is mapped anew
_COUNTER = "num_batches_tracked"  # of steps; changes no row


class CheckpointError(CgnInputError):
    """A model folder that cannot be used; the message names the file and what is wrong with it."""


class VersionExists(CheckpointError):
    """The version is already published, and a version never changes."""


def digest_tensors(tensors: Weights, switches: Iterable[str] = ()) -> str:
    """Digest of named tensors, names, types, shapes and bytes, and of the switches that are on."""
    state = hashlib.blake2b(digest_size=16)
    for switch in switches:
        state.update(switch.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        state.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        state.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return f"blake2b:{state.hexdigest()}"


def _switches(architecture: Mapping[str, int]) -> list[str]:
    """What of an architecture is on and changes rows, though it changes no tensor's shape."""
    return [switch for switch in ("mend_truncation",) if architecture.get(switch)]


def stored_tensors(network: nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The network's weights as they go to disk: floating point in ``dtype``, step counters left out."""
    return {
        name: tensor.detach().cpu().to(dtype).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith(_COUNTER)
    }


def publish(
    root: Path,
    network: nn.Module,
    *,
    dtype: torch.dtype = torch.float16,
    only_while: Path | None = None,
    attempt: str = "",
    **card_fields: Any,
) -> ModelCard:
    """Writes a new version so that a reader sees all of it or nothing.

    Args:
        root: the models folder.
        network: the weights to store.
        dtype: how they are stored; half precision halves the file, and what is loaded is what counts.
        only_while: a directory that has to be there still when the version is put in its place: the run's,
            which is gone once another process has taken the run over.
        attempt: part of the name of the folder that becomes the version, so that others know whose it is.
        **card_fields: the fields of ModelCard but its digest.

    Raises:
        VersionExists: the version is there already; nothing was written.
        CgnInputError: a field of the card is impossible, ``only_while`` is gone, or what was written cannot
            be read as it was meant; nothing was published.
    """
    tensors = stored_tensors(network, dtype)
    if bad := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise CheckpointError("weights", f"{bad[0]} is not finite as {dtype}; nothing was published")
    digest = digest_tensors(tensors, _switches(card_fields.get("architecture", {})))
    card = ModelCard(digest=digest, **card_fields)
    target = root / card.name / card.version
    if target.exists():
        raise VersionExists("version", f"{target} exists; a published version never changes")
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name that no reader takes for a version: check_version refuses a leading dot.
    part = Path(tempfile.mkdtemp(prefix=f"{UNPUBLISHED}{card.version}-{attempt}-", dir=target.parent))
    try:
        _write(part / WEIGHTS, save_tensors(tensors))
        _write(part / CARD, card.to_json().encode())
        part.chmod(0o755)
        sync_directory(part)
        _check_written(part, card)
        if only_while and not only_while.is_dir():
            raise CheckpointError("run_dir", f"{only_while} is gone: the run has been taken over elsewhere")
        # Renaming onto a folder with files in it fails, so of two publishers one loses cleanly.
        os.rename(part, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise VersionExists("version", f"{target} exists; a published version never changes") from None
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    sync_directory(target.parent)
    return card


def _check_written(part: Path, card: ModelCard) -> None:
    """Loads what is to be published, so that nobody else has to find out. Raises CheckpointError, OSError."""
    try:
        weights = WeightsFile(part / WEIGHTS)
        digest = digest_tensors(weights, _switches(card.architecture))
        read = ModelCard.from_json((part / CARD).read_text(encoding="utf-8"))
        with torch.device("meta"):  # its names and shapes alone
            network = build_network(card.family, card.architecture, len(card.class_names), card.resolution)
    except (SafetensorError, CgnInputError) as error:
        raise CheckpointError("weights", f"{card.name} cannot be read as written ({error})") from None
    if (digest, read.to_json()) != (card.digest, card.to_json()):  # in JSON a tuple is a list
        raise CheckpointError("weights", f"{card.name} is not what was to be written; nothing was published")
    _check_fit(part / WEIGHTS, network, weights)


def delete(root: Path, name: str, version: str) -> None:
    """Takes a version away: at once out of the readers' sight, then from the disk.

    Who has it loaded is not disturbed.

    Raises:
        CheckpointError: there is no such version, or it leads out of ``root``.
        OSError: the folder cannot be written.
    """
    path = version_dir(root, name, version)
    # A name that no reader takes for a version, as in publish.
    gone = Path(tempfile.mkdtemp(prefix=".deleting-", dir=path.parent)) if path.parent.is_dir() else None
    try:
        if not gone or not path.is_dir():
            raise CheckpointError("path", f"there is no model at {path}")
        os.rename(path, gone)
    finally:
        if gone:
            shutil.rmtree(gone, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Has a directory's names written to disk: a rename that was told of outlives a loss of power."""
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


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


def resident_bytes(root: Path, card: ModelCard, precision: Precision = "float32") -> int:
    """Bytes that a version's weights take, about, when it is served; found without reading them.

    Raises:
        CheckpointError: a missing or damaged file, or an unknown family.
    """
    find_family(card.family)
    each = 2 if precision == "bfloat16" else 4
    path = version_dir(root, card.name, card.version) / WEIGHTS
    try:
        with safe_open(path, framework="pt") as file:
            return each * sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError("weights", f"{path} is missing") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError("weights", f"{path} is truncated or damaged ({error})") from None


class WeightsFile(Mapping[str, torch.Tensor]):
    """The tensors of a safetensors file, each read when it is asked for. Raises SafetensorError, OSError.

    The library maps the file, and what has been read of a mapping counts as the process's memory for as long
    as the mapping lasts: so it is made anew from time to time.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)  # a version that is deleted can be read to its end
        weakref.finalize(self, os.close, descriptor)
        self._path = f"/dev/fd/{descriptor}"
        self._map()
        self._names = dict.fromkeys(self._file.keys())  # in order, and quick to look up

    def _map(self) -> None:
        self._file, self._read = safe_open(self._path, framework="pt"), 0

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._names:
            raise KeyError(name)
        if self._read > _MAPPED_BYTES:
            self._map()
        tensor: torch.Tensor = self._file.get_tensor(name)
        self._read += tensor.nbytes
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load(
    root: Path,
    name: str,
    version: str = "",
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
) -> CGN:
    """Loads a version (empty: the newest) onto a device, as it is served.

    Args:
        root: the models folder.
        name: of the model.
        version: of the model.
        device: where it is to run.
        precision: of the families that are served in bfloat16 too; mnist_authors is always in float32.

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
        raise CheckpointError("card", f"{path.with_name(CARD)}: latent_size must be {network.latent}")
    return CGN(network, card, device)


def load_trained(root: Path, name: str, version: str = "") -> tuple[nn.Module, ModelCard]:
    """A version (empty: the newest) as it was trained, to be trained on: in float32 on the CPU, and its card.

    Raises:
        CheckpointError: missing, truncated or damaged files, or a card that does not fit its weights.
    """
    card, _, weights = _open(root, name, version)
    network = build_network(card.family, card.architecture, len(card.class_names), card.resolution)
    network.load_state_dict(dict(weights), strict=False)
    return network, card


def _open(root: Path, name: str, version: str) -> tuple[ModelCard, Path, Weights]:
    """Card, file and weights of a version (empty: the newest), checked against each other."""
    version = version or newest_version(root, name)
    card = read_card(root, name, version)
    path = version_dir(root, name, version) / WEIGHTS
    try:
        weights = WeightsFile(path)
        digest = digest_tensors(weights, _switches(card.architecture))
    except FileNotFoundError:
        raise CheckpointError("weights", f"{path} is missing") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError("weights", f"{path} is truncated or damaged ({error})") from None
    if digest != card.digest:
        raise CheckpointError("digest", f"{path} has {digest}, its card says {card.digest}")
    try:
        with torch.device("meta"):  # its names and shapes alone
            network = build_network(card.family, card.architecture, len(card.class_names), card.resolution)
    except CgnInputError as error:
        raise CheckpointError("card", f"{path.with_name(CARD)}: {error}") from None
    _check_fit(path, network, weights)
    return card, path, weights


def _check_fit(path: Path, network: nn.Module, weights: Weights) -> None:
    """Raises CheckpointError unless the file has the network's tensors, each in its shape and finite."""
    expected = {
        name: tensor.shape for name, tensor in network.state_dict().items() if not name.endswith(_COUNTER)
    }
    if missing := sorted(expected.keys() - set(weights)):
        raise CheckpointError("weights", f"{path} lacks {', '.join(missing[:5])} ({len(missing)} missing)")
    if unknown := sorted(set(weights) - expected.keys()):
        raise CheckpointError("weights", f"{path} has unknown {', '.join(unknown[:5])}")
    for name, shape in expected.items():
        tensor = weights[name]
        if tensor.shape != shape:
            raise CheckpointError(
                "weights", f"{path}: {name} is {tuple(tensor.shape)}, the card needs {tuple(shape)}"
            )
        if not torch.isfinite(tensor).all():
            raise CheckpointError("weights", f"{path}: {name} is not finite")
