"""Turns the factors of requests (label, seed, noise interpolation, truncation) into rows."""

from collections.abc import Sequence

from cgn import noise
from cgn.card import ModelCard
from cgn.engine import Row
from cgn.errors import CgnInputError
from cgn.factors import Factor, Label, NoiseInterpolation, Path, mixture
from cgn.families.table import FAMILIES
from cgn.labels import find_class, find_wordnet
from cgn.noise import Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.errors import Violation

MAX_MIXTURE_CLASSES = 16  # limits the size of the response, which repeats them
PATHS: dict[int, Path] = {
    pb.PATH_UNSPECIFIED: "linear",
    pb.PATH_LINEAR: "linear",
    pb.PATH_SPHERICAL: "spherical",
}


class InvalidFactor(Exception):
    """A factor has invalid fields.

    Attributes:
        violations: for each invalid field, its path within the factor and a description.
    """

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__(violations)
        self.violations = violations

    def violations_at(self, field: str) -> list[Violation]:
        """Returns the violations with paths from the request; `field` is the factor's path in the request."""
        return [(f"{field}.{name}", description) for name, description in self.violations]


class FactorReader:
    """Turns the factors of requests for one model into rows."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        self._classes = len(card.class_names)
        self._index_of = {name: index for index, name in enumerate(card.class_names)}

    def row(self, mechanism: Mechanism, factor: pb.Factor) -> Row:
        """Returns the row of a factor; draws a seed if the factor has none.

        Raises:
            InvalidFactor: a field is invalid; the exception lists every invalid field.
        """
        violations: list[Violation] = []
        label: Label = 0
        kind = factor.WhichOneof("label")
        if kind == "label_index" and factor.label_index < self._classes:
            label = factor.label_index  # fast path for the most frequent case
        else:
            try:
                label = self._mixture(factor.mixture) if kind == "mixture" else self._class(factor)
            except CgnInputError as error:
                violations.append((error.field, error.description))
            except InvalidFactor as error:
                violations += error.violations
        seed = factor.seed if factor.HasField("seed") else noise.draw_seed()
        interpolation, truncation = None, 1.0
        if factor.HasField("way"):
            try:
                interpolation = _interpolation(factor.way)
            except CgnInputError as error:
                violations.append((f"way.{error.field}", error.description))
        if factor.HasField("truncation"):
            truncation = factor.truncation
            violations += truncation_violations(self._card, truncation)
        if violations:
            raise InvalidFactor(violations)
        return Row(self._card.digest, mechanism, label, seed, interpolation, truncation)

    def _class(self, part: pb.Factor | pb.WeightedClass) -> int:
        """Returns the index of the class that a label names. Raises CgnInputError."""
        kind = part.WhichOneof("label")
        if kind == "label_index":
            if part.label_index < self._classes:
                return part.label_index
            raise CgnInputError(kind, f"{part.label_index} is out of range; give {label_range(self._card)}")
        if kind == "label_name":
            index = self._index_of.get(part.label_name)
            return find_class(self._card, part.label_name) if index is None else index
        if kind == "wordnet_id":
            return find_wordnet(self._card, part.wordnet_id)
        raise CgnInputError("label_index", f"no label is given; give {label_range(self._card)}")

    def _mixture(self, requested: pb.Mixture) -> Label:
        """Returns the label of a mixture of classes. Raises InvalidFactor or CgnInputError."""
        parts = requested.classes
        if len(parts) > MAX_MIXTURE_CLASSES:
            text = f"has {len(parts)} entries; give at most {MAX_MIXTURE_CLASSES}"
            raise InvalidFactor([("mixture.classes", text)])
        violations: list[Violation] = []
        weights: dict[int, float] = {}
        for i, part in enumerate(parts):
            field = f"mixture.classes[{i}]"
            try:
                label = self._class(part)
            except CgnInputError as error:
                violations.append((f"{field}.{error.field}", error.description))
                continue
            if label in weights:
                name = self._card.class_names[label]
                violations.append((field, f"{name} has two entries; merge them and add their weights"))
            else:
                weights[label] = part.weight
        if violations:
            raise InvalidFactor(violations)
        return mixture(weights)


def label_range(card: ModelCard) -> str:
    """Describes the labels of a model, for error messages."""
    names = ", ".join(card.class_names[:10])
    more = ", ..." if len(card.class_names) > 10 else ""
    return f"label_index 0 to {len(card.class_names) - 1} or label_name, one of {names}{more}"


def truncation_violations(card: ModelCard, truncation: float) -> list[Violation]:
    """Returns why a model does not accept a truncation; the field is "truncation"."""
    if truncation != 1 and not FAMILIES[card.family].truncated:
        text = f"{truncation:g} is not supported by models of family {card.family}; omit it"
        return [("truncation", text)]
    try:
        Factor(0, 0, truncation=truncation)
    except CgnInputError as error:
        return [("truncation", error.description)]
    return []


def _interpolation(way: pb.Way) -> NoiseInterpolation:
    """Returns the interpolation of a message. Raises CgnInputError with the name of a field of pb.Way."""
    if way.path not in PATHS:
        raise CgnInputError("path", f"{way.path} is unknown; use one of {', '.join(pb.Path.keys()[1:])}")
    try:
        return NoiseInterpolation(way.to_seed, way.share, PATHS[way.path])
    except CgnInputError as error:  # the API has another name for the field
        raise CgnInputError({"t": "share"}.get(error.field, error.field), error.description) from error
