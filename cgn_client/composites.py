"""The parts of a request for images: factors, composites, outputs, encodings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cgn_api.v1 import generator_pb2 as pb
from cgn_client.errors import bad_value
from cgn_client.fields import put

Output = Literal["composite", "mask", "foreground", "background", "pre_mask", "reference"]
Animation = Literal["gif", "webp", "mp4"]
Encoding = Literal["raw_uint8", "raw_float32", "png", "jpeg", "webp"]
Class = int | str  # class index, class name or its beginning, or WordNet ID such as "n01518878"
Label = Class | Mapping[Class, float]  # a mapping is a mixture: weight by class

_WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Way:
    """Interpolation between the noise of a factor's seed and the noise of another seed.

    Attributes:
        to_seed: the other seed, 0 to 2^64 - 1.
        share: interpolation parameter, 0 (the factor's seed) to 1 (to_seed).
        path: "linear", or "spherical": along the arc between the two vectors, so that the norm stays typical.
    """

    to_seed: int
    share: float
    path: Literal["linear", "spherical"] = "linear"


@dataclass(frozen=True)
class Factor:
    """The label and noise of one mechanism.

    Attributes:
        label: class index or name, or a mixture: weights by class, which sum to 1.
        seed: seed of the noise, 0 to 2^64 - 1; None: drawn by the server.
        way: interpolates towards the noise of another seed; None: no interpolation.
        truncation: factor that scales the noise, in (0, 1]; None: 1. Only for models that support it.
    """

    label: Label
    seed: int | None = None
    way: Way | None = None
    truncation: float | None = None


def composite(
    shape: Label | Factor | None = None,
    texture: Label | Factor | None = None,
    background: Label | Factor | None = None,
    *,
    seed: int | None = None,
) -> pb.Composite:
    """Describes one image of a request.

    Each mechanism takes a label or a Factor. Omit mechanisms that no requested output needs. `seed` applies
    to every factor without a seed of its own. If both are None, the server draws the seed.

    Raises:
        CgnError: a value has the wrong type or an unknown name.
    """
    factors = {"shape": shape, "texture": texture, "background": background}
    return pb.Composite(
        **{name: _factor(name, factor, seed) for name, factor in factors.items() if factor is not None}
    )


def check_composite(field: str, value: Any) -> pb.Composite:
    """Returns the value if it is a Composite. Raises CgnError for anything else."""
    if not isinstance(value, pb.Composite):
        raise bad_value(field, f"must come from composite(), is {value!r:.80}")
    return value


def _factor(mechanism: str, value: Label | Factor, default_seed: int | None) -> pb.Factor:
    factor = value if isinstance(value, Factor) else Factor(value)
    seed = default_seed if factor.seed is None else factor.seed
    message = pb.Factor()
    if isinstance(factor.label, Mapping):
        message.mixture.SetInParent()
        for class_, weight in factor.label.items():
            part = message.mixture.classes.add()
            put(part, "weight", weight, f"{mechanism}.mixture.weight")
            _set_class(part, f"{mechanism}.mixture", class_)
    else:
        _set_class(message, mechanism, factor.label)
    put(message, "seed", seed, f"{mechanism}.seed")
    if way := factor.way:
        put(message.way, "to_seed", way.to_seed, f"{mechanism}.way.to_seed")
        put(message.way, "share", way.share, f"{mechanism}.way.share")
        message.way.path = number_of(pb.Path, f"{mechanism}.way.path", "PATH_", way.path)
    put(message, "truncation", factor.truncation, f"{mechanism}.truncation")
    return message


def _set_class(message: pb.Factor | pb.WeightedClass, field: str, class_: Class) -> None:
    if not isinstance(class_, str):
        name = "label_index"
    elif _WORDNET_ID.fullmatch(class_):
        name = "wordnet_id"
    else:
        name = "label_name"
    put(message, name, class_, f"{field}.{name}")


def output_numbers(outputs: Sequence[Output]) -> list[pb.Output]:
    """Returns the enum values of output names. Raises CgnError."""
    if isinstance(outputs, str):
        raise bad_value("outputs", f"{outputs!r} is one name; give a list of names")
    return [number_of(pb.Output, "outputs", "OUTPUT_", name) for name in outputs]


def encoding_number(encoding: Encoding) -> pb.Encoding:
    """Returns the enum value of an encoding's name. Raises CgnError."""
    number: pb.Encoding = number_of(pb.Encoding, "encoding", "ENCODING_", encoding)
    return number


def path_number(path: str) -> pb.Path:
    """Returns the enum value of a path's name. Raises CgnError."""
    number: pb.Path = number_of(pb.Path, "path", "PATH_", path)
    return number


def animation_number(animation: Animation) -> pb.Animation:
    """Returns the enum value of an animation's name. Raises CgnError."""
    number: pb.Animation = number_of(pb.Animation, "animation", "ANIMATION_", animation)
    return number


def number_of(enum: Any, field: str, prefix: str, name: str) -> Any:
    """Returns the enum value of a lower-case name without the prefix. Raises CgnError for an unknown name."""
    numbers = {key.removeprefix(prefix).lower(): number for key, number in enum.items() if number}
    if name not in numbers:
        raise bad_value(field, f"{name!r} is unknown; use {', '.join(numbers)}")
    return numbers[name]
