"""Weights on disk: safetensors files and their digests. Nothing here unpickles."""

import hashlib
import json
import math
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from cgn.card import ModelCard
from cgn.families.family import Precision, Weights
from cgn.families.table import find_family
from cgn.store.versions import WEIGHTS_FILE, CheckpointError, version_dir

STEP_COUNTER = "num_batches_tracked"  # ends the name of a batch norm's step counter, which changes no row
_REMAP_AFTER_BYTES = 16 * 2**20  # bytes read of a weights file before it is mapped anew


def digest_tensors(tensors: Weights, switches: Iterable[str] = ()) -> str:
    """Returns a digest of named tensors (names, types, shapes, bytes) and of the switches that are on.

    The result is ``blake2b:`` and 32 hexadecimal digits.
    """
    state = hashlib.blake2b(digest_size=16)
    for switch in switches:
        state.update(switch.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        state.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        state.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return f"blake2b:{state.hexdigest()}"


def digest_model(tensors: Weights, family: str, architecture: Mapping[str, int]) -> str:
    """Returns the digest that names a model's rows: that of its weights and of the family's row switches.

    Raises:
        CgnInputError: an unknown family.
    """
    switches = find_family(family).row_switches
    return digest_tensors(tensors, [switch for switch in switches if architecture.get(switch)])


def stored_tensors(network: nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Returns the network's weights as they are stored: floating point in ``dtype``, no step counters."""
    return {
        name: tensor.detach().cpu().to(dtype).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith(STEP_COUNTER)
    }


def check_fit(path: Path, network: nn.Module, weights: Weights) -> None:
    """Raises CheckpointError unless the file has the network's tensors, each in its shape and finite."""
    expected = {
        name: tensor.shape for name, tensor in network.state_dict().items() if not name.endswith(STEP_COUNTER)
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


def resident_bytes(root: Path, card: ModelCard, precision: Precision = "float32") -> int:
    """Returns about how many bytes a version's weights take when it is served; does not read the weights.

    Raises:
        CheckpointError: a missing or damaged file.
        CgnInputError: an unknown family.
    """
    find_family(card.family)
    bytes_per_value = 2 if precision == "bfloat16" else 4
    path = version_dir(root, card.name, card.version) / WEIGHTS_FILE
    try:
        with safe_open(path, framework="pt") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError("weights", f"{path} is missing") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError("weights", f"{path} is truncated or damaged ({error})") from None
    return bytes_per_value * sum(map(math.prod, shapes))


class WeightsFile(Mapping[str, torch.Tensor]):
    """The tensors of a safetensors file, each read on access.

    The safetensors library maps the file into memory. Every page that has been read counts as the process's
    memory as long as the mapping lasts. So the file is mapped anew after every 16 MiB.

    Raises:
        SafetensorError: the file is damaged.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY)  # stays readable even if the version is deleted
        weakref.finalize(self, os.close, descriptor)
        self._path = f"/dev/fd/{descriptor}"
        self._map()
        self._names = dict.fromkeys(self._file.keys())  # in the file's order, with fast look-up

    def _map(self) -> None:
        self._file, self._read = safe_open(self._path, framework="pt"), 0

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._names:
            raise KeyError(name)
        if self._read > _REMAP_AFTER_BYTES:
            self._map()
        tensor: torch.Tensor = self._file.get_tensor(name)
        self._read += tensor.nbytes
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
