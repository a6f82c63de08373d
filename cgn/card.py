"""The model card: describes one set of weights, stored as JSON beside the weights."""

import json
import re
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from cgn.errors import CgnInputError

CARD_FORMAT = 1
CARD_FILE = "card.json"  # beside the weights

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
NAME_HELP = "a lowercase letter, then up to 63 of a-z, 0-9, '_', '-'"
VERSION = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
VERSION_HELP = "a lowercase letter or digit, then up to 63 of a-z, 0-9, '.', '_', '-'"
RESERVED_VERSIONS = ("latest", "stable")  # aliases, which move between versions (cgn.store.aliases)
UNPUBLISHED = ".publishing-"  # prefix of a folder that becomes a version; version and attempt follow
MEASURED = ("mask_mean", "mask_border", "mask_soft")  # fields with the masks' measures after training
_DIGEST = re.compile(r"blake2b:[0-9a-f]{32}")


def check_name(name: str) -> str:
    """Returns the name of a model if it is a valid folder name, else raises CgnInputError."""
    if not NAME.fullmatch(name):
        raise CgnInputError("name", f"{name!r} must be {NAME_HELP}")
    return name


def check_version(version: str) -> str:
    """Returns a version if it is a valid folder name and no alias, else raises CgnInputError."""
    if not VERSION.fullmatch(version):
        raise CgnInputError("version", f"{version!r} must be {VERSION_HELP}")
    if version in RESERVED_VERSIONS:
        raise CgnInputError("version", f"{version!r} is an alias; give the name of a version")
    return version


@dataclass(frozen=True)
class MaskFault:
    """One measure of masks that is out of bounds.

    Attributes:
        measure: name of the measure, such as "border mass".
        value: its value.
        bound: the violated bound, such as "above 0.12".
        meaning: what is wrong with the mask.
    """

    measure: str
    value: float
    bound: str
    meaning: str

    @property
    def text(self) -> str:
        """The fault in one line, without the class."""
        return f"{self.measure} {self.value:.3f} is {self.bound}: {self.meaning}"


@dataclass(frozen=True)
class MaskBounds:
    """Bounds of one class's masks; masks out of bounds have collapsed. Measures: see `cgn.metrics.masks`.

    Attributes:
        lowest, highest: bounds of the mean mask value, in [0, 1].
        highest_border: upper bound of the border mass, in (0, 1].
        highest_soft: upper bound of the soft-pixel share, in (0, 1].
    """

    lowest: float
    highest: float
    highest_border: float
    highest_soft: float

    def __post_init__(self) -> None:
        if not 0 <= self.lowest < self.highest <= 1:
            raise CgnInputError("mask_bounds", "each needs 0 <= lowest < highest <= 1")
        for name in ("highest_border", "highest_soft"):
            if not 0 < getattr(self, name) <= 1:
                raise CgnInputError("mask_bounds", f"each {name} must be above 0, at most 1")

    def faults(self, mean: float, border: float, soft: float) -> list[MaskFault]:
        """Returns the measures that are out of bounds, the mean first. NaN is out of bounds.

        Args:
            mean: mean mask value, 0 to 1.
            border: border mass, 0 to 1; ignored if the mask is empty.
            soft: soft-pixel share, 0 to 1.
        """
        faults = []
        empty = not mean >= self.lowest
        if empty:
            faults.append(MaskFault("μ_mask", mean, f"below {self.lowest:g}", "the mask is empty"))
        elif not mean <= self.highest:
            meaning = "the mask is inverted or covers the image"
            faults.append(MaskFault("μ_mask", mean, f"above {self.highest:g}", meaning))
        if not empty and not border <= self.highest_border:
            meaning = "the mask is inverted, has a frame or is in pieces"
            faults.append(MaskFault("border mass", border, f"above {self.highest_border:g}", meaning))
        if not soft <= self.highest_soft:
            meaning = "the mask is half transparent"
            faults.append(MaskFault("soft-pixel share", soft, f"above {self.highest_soft:g}", meaning))
        return faults


@dataclass(frozen=True)
class ModelCard:
    """Everything that a reader or a server needs to know about one set of weights.

    Attributes:
        name, version: the version is published in ``models/<name>/<version>/``.
        digest: digest of the stored weights, ``blake2b:`` and 32 hexadecimal digits.
        family: family of the mechanisms, one of `cgn.families.table`.
        architecture: the family's own sizes, such as ``{"width": 32}``.
        class_names: class names by label index.
        class_ids: WordNet ids by label index, such as ``"n01518878"``; empty if the classes have no ids.
        resolution: height and width of every output, in pixels.
        latent_size: length of the noise u.
        mask_bounds: bounds of the masks by label index.
        mask_mean, mask_border, mask_soft: measured mean mask value, border mass and soft-pixel share by
            label index, each in [0, 1]; empty if the masks have not been measured.
        trained: whether the weights were trained; False: random weights.
        training: record of the training: command, config, data, seconds, machine.
        notes: facts that a user must know, such as that the digits are a subset.
        terms: terms of use of the training data, one line per source; empty for a user's own folder.
        scores: scores of classifiers trained on the model's counterfactuals, by row of docs/results:
            accuracies in per cent, and the file that records how they were measured.
        created_at: time of publication, UTC in ISO 8601, so that times sort as text.
    """

    name: str
    version: str
    digest: str
    family: str
    architecture: dict[str, int]
    class_names: list[str]
    resolution: int
    latent_size: int
    mask_bounds: list[MaskBounds]
    mask_mean: list[float]
    mask_border: list[float]
    mask_soft: list[float]
    trained: bool
    training: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    terms: list[str] = field(default_factory=list)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    class_ids: list[str] = field(default_factory=list)
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    card_format: int = CARD_FORMAT

    def __post_init__(self) -> None:
        check_name(self.name)
        check_version(self.version)
        if self.card_format != CARD_FORMAT:
            raise CgnInputError("card_format", f"{self.card_format!r} is not {CARD_FORMAT}")
        if not _DIGEST.fullmatch(self.digest):
            raise CgnInputError("digest", f"{self.digest!r} is not 'blake2b:' and 32 hexadecimal digits")
        self._check_types()
        classes = len(self.class_names)
        if len(set(self.class_names)) < classes or not classes:
            raise CgnInputError("class_names", "must be distinct, at least one")
        for name in ("mask_bounds", "class_ids", *MEASURED):
            optional = name != "mask_bounds"
            if len(getattr(self, name)) != classes and (getattr(self, name) or not optional):
                raise CgnInputError(name, f"has {len(getattr(self, name))} entries for {classes} classes")
        for name in MEASURED:
            if not all(0 <= value <= 1 for value in getattr(self, name)):
                raise CgnInputError(name, "each must be within 0 to 1")
        datetime.fromisoformat(self.created_at)
        if not self.created_at.endswith("+00:00"):
            raise CgnInputError(
                "created_at", f"{self.created_at} must end in +00:00, so that times sort as text"
            )

    def _check_types(self) -> None:
        """Raises CgnInputError if a value does not have the type of its field."""
        expected: dict[str, tuple[Any, ...]] = {  # type of the field; type of its elements
            "family": (str,), "architecture": (dict, int), "class_names": (list, str),
            "class_ids": (list, str), "resolution": (int,),
            "latent_size": (int,), "mask_bounds": (list, MaskBounds),
            **dict.fromkeys(MEASURED, (list, float | int)), "trained": (bool,), "training": (dict,),
            "notes": (list, str), "terms": (list, str), "scores": (dict, dict), "created_at": (str,),
        }  # fmt: skip
        for name, (kind, *element) in expected.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise CgnInputError(name, f"{value!r:.60} is not of type {kind.__name__}")
            items = value.values() if isinstance(value, dict) else value
            if element and not all(isinstance(item, element[0]) for item in items):
                raise CgnInputError(name, f"{value!r:.60} has an element of the wrong type")

    def to_json(self) -> str:
        """Returns the card as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> "ModelCard":
        """Returns the card of a JSON text.

        Raises:
            CgnInputError: the text is not JSON, or a field is missing, unknown or invalid.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise CgnInputError("card", f"is not JSON ({error})") from None
        if not isinstance(data, dict):
            raise CgnInputError("card", "must be a JSON object")
        known = {f.name for f in fields(ModelCard)}
        if unknown := sorted(data.keys() - known):
            raise CgnInputError("card", f"unknown fields {unknown}")
        try:
            data["mask_bounds"] = [MaskBounds(**bounds) for bounds in data["mask_bounds"]]
            return ModelCard(**data)
        except CgnInputError:
            raise
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise CgnInputError("card", f"a field is missing or has the wrong type ({error})") from None
