"""Checkpoints of a run: one safetensors file with all state, so that a resumed run computes the same bits.

Tensors are stored under ``<part>.<name>``. The metadata hold the step and a fingerprint of the config. No
pickles are read.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from cgn.store.files import atomic_write, sync_directory
from cgn.store.weights import digest_tensors
from trainer.run.context import RunError
from trainer.run.options import Dataclass, recorded_options
from trainer.run.provenance import machine

_NAME = re.compile(r"checkpoint-(\d{7})\.safetensors")
_KEPT = 2  # the newest checkpoint, and an older one in case the newest is damaged


def config_fingerprint(config: Dataclass) -> str:
    """Returns the hash of a config, by which a checkpoint is known to belong to a run."""
    text = json.dumps(recorded_options(config), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _seal(step: int, fingerprint: str, digest: str) -> str:
    """Returns the digest of the metadata of a checkpoint, which protects them from changes."""
    return hashlib.blake2b(f"{step} {fingerprint} {digest}".encode(), digest_size=16).hexdigest()


def _as_os_error(error: SafetensorError) -> Exception:
    """Returns the OSError behind an error of safetensors, which gives it as text: `... (os error 28)`."""
    match = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(match[1]), os.strerror(int(match[1]))) if match else error


class Checkpoints:
    """The checkpoints of one run directory.

    Args:
        run_dir: directory of the run.
        config: options of the run.
        parts: state to save, by name: modules, optimisers, torch generators, and dataclasses of numbers.
            ``save`` reads them, ``resume`` fills them in place.
    """

    def __init__(self, run_dir: Path, config: Dataclass, parts: dict[str, Any]) -> None:
        self._run_dir = run_dir
        self._fingerprint = config_fingerprint(config)
        self._parts = parts

    def save(self, step: int) -> Path:
        """Writes the state after ``step`` steps atomically, and removes all but the newest two checkpoints.

        Raises:
            OSError: the checkpoint cannot be written, for example because the disk is full. The older ones
                stay.
        """
        tensors = {
            f"{part}.{name}": tensor.detach().cpu().contiguous()
            for part, holder in self._parts.items()
            for name, tensor in _tensors_of(holder).items()
        }
        path = self._run_dir / f"checkpoint-{step:07d}.safetensors"
        digest = digest_tensors(tensors)
        metadata = {
            "step": str(step),
            "config": self._fingerprint,
            "digest": digest,
            "seal": _seal(step, self._fingerprint, digest),
            "machine": json.dumps(machine()),
        }
        with atomic_write(path) as part:
            try:
                save_file(tensors, part, metadata=metadata)
            except SafetensorError as error:
                raise _as_os_error(error) from None
        sync_directory(self._run_dir)
        for old in self._newest_first()[_KEPT:]:
            old.unlink(missing_ok=True)
        return path

    def clear(self) -> None:
        """Removes every checkpoint in the directory."""
        for path in self._newest_first():
            path.unlink(missing_ok=True)

    def resume(self) -> tuple[int, list[str]]:
        """Fills the parts from the newest good checkpoint.

        Returns:
            Steps done, 0 if there is no good checkpoint; and lines for the log, one for each damaged
            checkpoint, and one if the run was on another machine before.

        Raises:
            RunError: the newest good checkpoint belongs to a run with other options.
        """
        notes = []
        for path in self._newest_first():
            try:
                with safe_open(path, framework="pt") as file:
                    metadata = file.metadata() or {}
                    if metadata.get("config", self._fingerprint) != self._fingerprint:
                        raise RunError(
                            f"{path} is of a run with other options; resume with those options, or use "
                            "another run directory"
                        )
                    tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                if metadata.get("digest") != digest_tensors(tensors):
                    notes.append(f"{path.name} is damaged (digest); not used")
                    continue
                step = int(metadata["step"])
                seal = _seal(step, self._fingerprint, metadata["digest"])
                if metadata.get("seal", seal) != seal:  # checkpoints of earlier releases have no seal
                    notes.append(f"{path.name} is damaged (seal); not used")
                    continue
                before = json.loads(metadata.get("machine", "null"))
            except (SafetensorError, OSError, KeyError, ValueError) as error:
                notes.append(f"{path.name} is damaged ({error}); not used")
                continue
            self._fill(tensors)
            if before and before != (now := machine()):
                changed = "; ".join(
                    f"{name} {before.get(name)}, now {now[name]}"
                    for name in now
                    if before.get(name) != now[name]
                )
                notes.append(f"note: the run has moved ({changed}): its weights may differ in the last bits")
            return step, notes
        return 0, notes

    def _fill(self, tensors: dict[str, torch.Tensor]) -> None:
        for part, holder in self._parts.items():
            prefix = f"{part}."
            state = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            _fill(holder, state)

    def _newest_first(self) -> list[Path]:
        return sorted((p for p in self._run_dir.iterdir() if _NAME.fullmatch(p.name)), reverse=True)


def _tensors_of(holder: Any) -> dict[str, torch.Tensor]:
    if isinstance(holder, torch.nn.Module):
        return holder.state_dict()
    if isinstance(holder, torch.Generator):
        return {"state": holder.get_state()}
    if isinstance(holder, torch.optim.Optimizer):
        state = holder.state_dict()["state"]
        return {f"{index}.{name}": t for index, values in state.items() for name, t in values.items()}
    if is_dataclass(holder) and not isinstance(holder, type):
        numbers = asdict(holder).items()
        return {name: torch.tensor(number, dtype=torch.float64) for name, number in numbers}
    raise TypeError(f"cannot checkpoint a {type(holder).__name__}")


def _fill(holder: Any, tensors: dict[str, torch.Tensor]) -> None:
    if isinstance(holder, torch.nn.Module):
        holder.load_state_dict(tensors)
    elif isinstance(holder, torch.Generator):
        holder.set_state(tensors["state"])
    elif is_dataclass(holder):
        for name, tensor in tensors.items():
            setattr(holder, name, type(getattr(holder, name))(tensor.item()))
    else:
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            index, value = name.split(".", 1)
            state.setdefault(int(index), {})[value] = tensor
        # A fused optimiser walks through memory, so its state needs the memory layout of its parameter.
        parameters = [parameter for group in holder.param_groups for parameter in group["params"]]
        for number, values in state.items():
            like = parameters[number]
            for name, tensor in values.items():
                if tensor.shape == like.shape:
                    values[name] = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)
        # Rates and betas come from the config, which the fingerprint has matched.
        holder.load_state_dict({"state": state, "param_groups": holder.state_dict()["param_groups"]})
