"""State dicts from files of others: read without executing anything, and checked against a network."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load as load_safetensors

from cgn.errors import CgnInputError

SUFFIXES = (".safetensors", ".pth", ".bin")
_COUNTER = "num_batches_tracked"  # may be missing from a file; it changes no image
_PARALLEL = "module."  # prefix of every name that torch's DataParallel saves


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Returns the named tensors of a file. Nothing in the file is executed.

    Args:
        path: ``.safetensors``, or what ``torch.save`` made of a state dict: ``.pth`` or ``.bin``.

    Returns:
        The tensors on the CPU, without DataParallel's prefix ``module.``.

    Raises:
        CgnInputError: a missing, truncated or damaged file, or one with anything but named tensors.
    """
    if path.suffix not in SUFFIXES:
        raise CgnInputError("weights", f"{path} must be a .safetensors or a .pth file, or a .bin one")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CgnInputError("weights", f"there is no file {path}") from None
    except OSError as error:
        raise CgnInputError("weights", f"{path} cannot be read ({error.strerror})") from None
    try:
        if path.suffix == ".safetensors":
            tensors = load_safetensors(data)
        else:
            tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        kind = type(error).__name__
        raise CgnInputError(
            "weights", f"{path} is damaged, cut short or no file of weights ({kind})"
        ) from None
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and _is_plain(tensor) for name, tensor in tensors.items()
    ):
        raise CgnInputError("weights", f"{path} is no state dict; save net.state_dict() alone")
    return without_prefix(tensors)


def _is_plain(value: object) -> bool:
    """Returns whether a value is a dense tensor of plain numbers: not sparse, quantised or complex."""
    return isinstance(value, torch.Tensor) and not (
        value.layout != torch.strided or value.is_quantized or value.is_complex()
    )


def without_prefix(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns the tensors without the prefix of DataParallel, if all names have it."""
    prefix = _PARALLEL if all(name.startswith(_PARALLEL) for name in tensors) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def fits(tensors: Mapping[str, torch.Tensor], name: str, expected: torch.Tensor) -> bool:
    """Returns whether there is a tensor of that name with the expected tensor's shape."""
    return name in tensors and tensors[name].shape == expected.shape


def fitted(
    tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], source: Path | str, cure: str
) -> dict[str, torch.Tensor]:
    """Returns tensors as the state dict of a network: in float32, with all step counters.

    Args:
        tensors: the tensors; float32 ones are not copied. Step counters may be missing.
        expected: the network's own state dict; only names and shapes matter.
        source: origin of the tensors, for messages.
        cure: advice for tensors that do not fit, for messages.

    Raises:
        CgnInputError: tensors are missing, unknown, of a wrong shape or not finite. The message gives the
            first three names of each problem and the number of further ones.
    """
    counters = {name: torch.zeros((), dtype=torch.int64) for name in expected if name.endswith(_COUNTER)}
    state = {name: t.detach() if name in counters else t.detach().float() for name, t in tensors.items()}
    problems = [
        _list("lacks", [name for name in expected if name not in tensors and name not in counters]),
        _list("has unknown", [name for name in tensors if name not in expected]),
        _list(
            "has in another shape",
            [
                f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
                for name, tensor in expected.items()
                if name in tensors and not fits(tensors, name, tensor)
            ],
        ),
        _list("has non-finite", [name for name, t in state.items() if not torch.isfinite(t).all()]),
    ]
    if text := "; ".join(filter(None, problems)):
        raise CgnInputError("weights", f"{source} {text}; {cure}")
    return counters | state


def _list(problem: str, names: Sequence[str]) -> str:
    """Returns a problem with the first names that have it; empty if there are none."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{problem} {', '.join(names[:3])}{more}" if names else ""
