"""Asking for images: factors, composites, outputs, encodings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cgn_api.v1 import generator_pb2 as pb
from cgn_client.errors import bad_value

Output = Literal["composite", "mask", "foreground", "background", "pre_mask"]
Encoding = Literal["raw_uint8", "raw_float32", "png", "jpeg", "webp"]
Label = int | str

_MAX_LABEL = 2**32 - 1
_MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class Factor:
    """One cause of an image: a label (class index or name) and a seed (0 to 2^64 - 1; None: drawn)."""

    label: Label
    seed: int | None = None


def composite(
    shape: Label | Factor | None = None,
    texture: Label | Factor | None = None,
    background: Label | Factor | None = None,
    *,
    seed: int | None = None,
) -> pb.Composite:
    """One image to ask for.

    Each mechanism takes a label or a Factor; leave out those that no asked output needs. `seed` is used
    where a factor has none of its own; without either the server draws one.

    Raises:
        CgnError: a label or a seed that cannot be sent.
    """
    causes = {"shape": shape, "texture": texture, "background": background}
    return pb.Composite(
        **{name: _factor(name, cause, seed) for name, cause in causes.items() if cause is not None}
    )


def _factor(mechanism: str, cause: Label | Factor, default_seed: int | None) -> pb.Factor:
    factor = cause if isinstance(cause, Factor) else Factor(cause)
    seed = default_seed if factor.seed is None else factor.seed
    message = pb.Factor()
    if isinstance(factor.label, str):
        message.label_name = factor.label
    else:
        message.label_index = _integer(f"{mechanism}.label_index", factor.label, _MAX_LABEL)
    if seed is not None:
        message.seed = _integer(f"{mechanism}.seed", seed, _MAX_SEED)
    return message


def _integer(field: str, value: int, highest: int) -> int:
    try:
        number = value.__index__()  # numpy's integers too
    except AttributeError:
        number = -1
    if not 0 <= number <= highest:
        raise bad_value(field, f"must be an integer, 0 to {highest}, is {value!r}")
    return number


def output_numbers(outputs: Sequence[Output]) -> list[pb.Output]:
    """The enum values of output names."""
    if isinstance(outputs, str):
        raise bad_value("outputs", f"{outputs!r} is one name; give a list of names")
    return [_number(pb.Output, "outputs", "OUTPUT_", name) for name in outputs]


def encoding_number(encoding: Encoding) -> pb.Encoding:
    """The enum value of an encoding name."""
    number: pb.Encoding = _number(pb.Encoding, "encoding", "ENCODING_", encoding)
    return number


def _number(enum: Any, field: str, prefix: str, name: str) -> Any:
    numbers = {key.removeprefix(prefix).lower(): number for key, number in enum.items() if number}
    if name not in numbers:
        raise bad_value(field, f"{name!r} is unknown; use {', '.join(numbers)}")
    return numbers[name]
