"""Asking for images: factors, composites, outputs, encodings."""

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
Class = int | str  # index, name or the beginning of one, or WordNet id such as "n01518878"
Label = Class | Mapping[Class, float]  # several classes by weight: a mixture

_WORDNET_ID = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class Way:
    """Noise on the way from a factor's seed to another one.

    Attributes:
        to_seed: the other seed, 0 to 2^64 - 1.
        share: of the way, 0 to 1.
        path: straight, or along the arc on which the noise stays as long as theirs.
    """

    to_seed: int
    share: float
    path: Literal["linear", "spherical"] = "linear"


@dataclass(frozen=True)
class Factor:
    """One cause of an image.

    Attributes:
        label: class index or name; classes and their weights, which sum to 1, for something between them.
        seed: of the noise, 0 to 2^64 - 1; None: drawn by the server.
        way: where the noise goes from the seed's.
        truncation: what the noise is scaled by, above 0, at most 1; None: not at all. Only of models that
            have it.
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
    """One image to ask for.

    Each mechanism takes a label or a Factor; leave out those that no asked output needs. `seed` is used
    where a factor has none of its own; without either the server draws one.

    Raises:
        CgnError: a value that cannot be sent.
    """
    causes = {"shape": shape, "texture": texture, "background": background}
    return pb.Composite(
        **{name: _factor(name, cause, seed) for name, cause in causes.items() if cause is not None}
    )


def checked(field: str, given: Any) -> pb.Composite:
    """What composite() has made. Raises CgnError for anything else."""
    if not isinstance(given, pb.Composite):
        raise bad_value(field, f"must be made by composite(), is {given!r:.80}")
    return given


def _factor(mechanism: str, cause: Label | Factor, default_seed: int | None) -> pb.Factor:
    factor = cause if isinstance(cause, Factor) else Factor(cause)
    seed = default_seed if factor.seed is None else factor.seed
    message = pb.Factor()
    if isinstance(factor.label, Mapping):
        message.mixture.SetInParent()
        for known, weight in factor.label.items():
            part = message.mixture.classes.add()
            put(part, "weight", weight, f"{mechanism}.mixture.weight")
            _set_class(part, f"{mechanism}.mixture", known)
    else:
        _set_class(message, mechanism, factor.label)
    put(message, "seed", seed, f"{mechanism}.seed")
    if way := factor.way:
        put(message.way, "to_seed", way.to_seed, f"{mechanism}.way.to_seed")
        put(message.way, "share", way.share, f"{mechanism}.way.share")
        message.way.path = number_of(pb.Path, f"{mechanism}.way.path", "PATH_", way.path)
    put(message, "truncation", factor.truncation, f"{mechanism}.truncation")
    return message


def _set_class(message: pb.Factor | pb.WeightedClass, field: str, known: Class) -> None:
    if not isinstance(known, str):
        name = "label_index"
    elif _WORDNET_ID.fullmatch(known):
        name = "wordnet_id"
    else:
        name = "label_name"
    put(message, name, known, f"{field}.{name}")


def output_numbers(outputs: Sequence[Output]) -> list[pb.Output]:
    """The enum values of output names."""
    if isinstance(outputs, str):
        raise bad_value("outputs", f"{outputs!r} is one name; give a list of names")
    return [number_of(pb.Output, "outputs", "OUTPUT_", name) for name in outputs]


def encoding_number(encoding: Encoding) -> pb.Encoding:
    """The enum value of an encoding name."""
    number: pb.Encoding = number_of(pb.Encoding, "encoding", "ENCODING_", encoding)
    return number


def path_number(path: str) -> pb.Path:
    """The enum value of a path's name."""
    number: pb.Path = number_of(pb.Path, "path", "PATH_", path)
    return number


def animation_number(animation: Animation) -> pb.Animation:
    """The enum value of an animation's name."""
    number: pb.Animation = number_of(pb.Animation, "animation", "ANIMATION_", animation)
    return number


def number_of(enum: Any, field: str, prefix: str, name: str) -> Any:
    """The value of an enum that a name stands for, without its prefix and in lower case."""
    numbers = {key.removeprefix(prefix).lower(): number for key, number in enum.items() if number}
    if name not in numbers:
        raise bad_value(field, f"{name!r} is unknown; use {', '.join(numbers)}")
    return numbers[name]
