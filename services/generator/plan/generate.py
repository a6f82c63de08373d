"""From a GenerateRequest to a plan: every label and seed resolved, every mistake named by its field."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

import grpc

from cgn import noise
from cgn.card import ModelCard
from cgn.engine import Row
from cgn.errors import CgnInputError
from cgn.factors import Factor, Label, NoiseInterpolation, Path, mixture
from cgn.families.table import FAMILIES
from cgn.labels import find_class, find_wordnet
from cgn.noise import MECHANISMS, Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.errors import ApiError, Violation, invalid, invalid_fields
from services.generator.rows.redis_tier import DType
from services.grpc_server import MAX_MESSAGE_BYTES

# However small the files of a compressed answer turn out to be.
MAX_COMPOSITES = 4096
MOST_VIOLATIONS = 16

# Which mechanisms an output needs.
NEEDS: dict[int, tuple[Mechanism, ...]] = {
    pb.OUTPUT_COMPOSITE: ("shape", "texture", "background"),
    pb.OUTPUT_MASK: ("shape",),
    pb.OUTPUT_FOREGROUND: ("texture",),
    pb.OUTPUT_BACKGROUND: ("background",),
    pb.OUTPUT_PRE_MASK: ("shape",),
    pb.OUTPUT_REFERENCE: ("reference",),
}
PATHS: dict[int, Path] = {
    pb.PATH_UNSPECIFIED: "linear",
    pb.PATH_LINEAR: "linear",
    pb.PATH_SPHERICAL: "spherical",
}
_MOST_MIXED = 16  # classes of a mixture: each is told in the answer
_FACTOR_BYTES = 1024  # more than one takes in an answer without its class's name
RAW_ITEM_BYTES: dict[int, int] = {pb.ENCODING_RAW_UINT8: 1, pb.ENCODING_RAW_FLOAT32: 4}


@dataclass(frozen=True)
class Plan:
    """What a request asks for.

    Attributes:
        card: of the model that answers.
        outputs: asked, each once, in the order asked.
        encoding: as asked, PNG if that was left open.
        hard_mask: whether masks are cut at 1/2.
        rows: of every mechanism that the outputs need, its distinct rows: the work.
        picks: of the same, which of them each composite has.
    """

    card: ModelCard
    outputs: tuple[pb.Output, ...]
    encoding: pb.Encoding
    hard_mask: bool = False
    rows: Mapping[Mechanism, list[Row]] = field(default_factory=dict)
    picks: Mapping[Mechanism, list[int]] = field(default_factory=dict)

    @property
    def dtype(self) -> DType:
        """Type of the rows that this answer is made from, and from no other."""
        return "float32" if self.encoding == pb.ENCODING_RAW_FLOAT32 else "uint8"

    @property
    def composites(self) -> int:
        """How many."""
        return len(next(iter(self.picks.values()), ()))

    def all_rows(self) -> list[Row]:
        """The distinct rows of all mechanisms."""
        return [row for rows in self.rows.values() for row in rows]

    def of(self, composites: Mapping[Mechanism, Sequence[Row]]) -> "Plan":
        """The same of these composites, given by the row of each, mechanism by mechanism."""
        rows: dict[Mechanism, list[Row]] = {}
        picks: dict[Mechanism, list[int]] = {}
        for mechanism, of_each in composites.items():
            number: dict[Row, int] = {}
            picks[mechanism] = [number.setdefault(row, len(number)) for row in of_each]
            rows[mechanism] = list(number)
        return replace(self, rows=rows, picks=picks)


T = TypeVar("T")


def outputs_of(card: ModelCard) -> tuple[pb.Output, ...]:
    """What a model can be asked for."""
    names = [f"OUTPUT_{output.upper()}" for output in FAMILIES[card.family].outputs]
    if not card.architecture.get("reference", 1):
        names.remove("OUTPUT_REFERENCE")
    return tuple(cast(pb.Output, pb.Output.Value(name)) for name in names)


def channels(output: int) -> int:
    """1 for masks, 3 for colours."""
    return 1 if output == pb.OUTPUT_MASK else 3


def too_large(asked: int, description: str) -> ApiError:
    """The refusal of a response that would pass the size of one message."""
    message = f"composites: {asked} asked, and the response may take {MAX_MESSAGE_BYTES} bytes; {description}"
    return ApiError(
        grpc.StatusCode.INVALID_ARGUMENT, "RESPONSE_TOO_LARGE", message, [("composites", description)]
    )


def plan(request: pb.GenerateRequest, card: ModelCard) -> Plan:
    """Resolves a request for a model.

    Raises:
        ApiError: INVALID_ARGUMENT with a violation per wrong field (the first few of many).
    """
    violations = outputs_violations(request.outputs, outputs_of(card), card)
    violations += encoding_violations(request.encoding)
    if not request.composites:
        violations.append(("composites", "must have at least 1 entry"))
    if violations:
        raise invalid_fields(violations)

    encoding = request.encoding or pb.ENCODING_PNG
    outputs = tuple(request.outputs)
    _check_size(request, outputs, encoding, card)
    needed = needed_mechanisms(outputs)
    index_of = {name: index for index, name in enumerate(card.class_names)}

    composites: dict[Mechanism, list[Row]] = {mechanism: [] for mechanism in needed}
    for i, composite in enumerate(request.composites):
        for mechanism in needed:
            # The reference is drawn for the cause of the shape.
            name = "shape" if mechanism == "reference" else mechanism
            if mechanism == "reference" and "shape" in composites:
                if not violations:
                    composites[mechanism].append(composites["shape"][i]._replace(mechanism=mechanism))
            elif not composite.HasField(name):
                what = f"is required for these outputs; give {labels_of(card)}"
                violations.append((f"composites[{i}].{name}", what))
            else:
                factor: pb.Factor = getattr(composite, name)
                where = f"composites[{i}].{name}"
                composites[mechanism].append(row_of(mechanism, factor, where, card, index_of, violations))
        if len(violations) >= MOST_VIOLATIONS:
            break
    if violations:
        raise invalid_fields(violations)
    return Plan(card, outputs, encoding, request.hard_mask).of(composites)


def outputs_violations(
    outputs: Sequence[int], available: Sequence[pb.Output], card: ModelCard
) -> list[Violation]:
    """What is wrong with the outputs asked of a model, of which a call can give those available."""
    names = ", ".join(pb.Output.Name(output) for output in available)
    if not outputs:
        return [("outputs", f"must have at least 1 entry; use {names}")]
    violations = []
    for i, output in enumerate(outputs):
        if output not in available:
            name = pb.Output.Name(output) if output in pb.Output.values() else output
            violations.append((f"outputs[{i}]", f"{name} is not in family {card.family}; use {names}"))
        elif output in outputs[:i]:
            violations.append((f"outputs[{i}]", f"{pb.Output.Name(output)} is asked twice; ask for it once"))
        if len(violations) >= MOST_VIOLATIONS:
            break
    return violations


def encoding_violations(encoding: int) -> list[Violation]:
    """What is wrong with an encoding."""
    if encoding in pb.Encoding.values():
        return []
    names = ", ".join(pb.Encoding.keys()[1:])
    return [("encoding", f"{encoding} is unknown; use one of {names}")]


def row_of(
    mechanism: Mechanism,
    factor: pb.Factor,
    field: str,
    card: ModelCard,
    index_of: dict[str, int],
    violations: list[Violation],
) -> Row:
    """The row of a factor; any row after adding a violation."""
    if factor.WhichOneof("label") == "label_index" and factor.label_index < len(card.class_names):
        label: Label = factor.label_index  # as below, for what is asked most
    else:
        label = _label(factor, field, card, index_of, violations)
    seed = factor.seed if factor.HasField("seed") else noise.draw_seed()
    interpolation = None
    if factor.HasField("way"):
        interpolation = _checked(lambda: _interpolation(factor.way), f"{field}.way", violations)
    if not factor.HasField("truncation"):
        return Row(card.digest, mechanism, label, seed, interpolation)
    truncation = factor.truncation
    if truncation != 1 and not FAMILIES[card.family].truncated:
        what = f"{truncation:g} is not possible, models of family {card.family} have none; leave it out"
        violations.append((f"{field}.truncation", what))
    else:
        _checked(lambda: Factor(0, 0, truncation=truncation), field, violations)
    return Row(card.digest, mechanism, label, seed, interpolation, truncation)


def _checked(make: Callable[[], T], field: str, violations: list[Violation]) -> T | None:
    """What is made; None after adding the violation that it raises, of a field below the given one."""
    try:
        return make()
    except CgnInputError as error:
        violations.append((f"{field}.{error.field}", error.description))
        return None


def _interpolation(way: pb.Way) -> NoiseInterpolation:
    if way.path not in PATHS:
        raise CgnInputError("path", f"{way.path} is unknown; use one of {', '.join(pb.Path.keys()[1:])}")
    try:
        return NoiseInterpolation(way.to_seed, way.share, PATHS[way.path])
    except CgnInputError as error:  # under the name that the field has in the API
        raise CgnInputError({"t": "share"}.get(error.field, error.field), error.description) from error


def _label(
    factor: pb.Factor, field: str, card: ModelCard, index_of: dict[str, int], violations: list[Violation]
) -> Label:
    """The label of a factor; 0 after adding a violation."""
    if factor.WhichOneof("label") != "mixture":
        label = _checked(lambda: _class(factor, card, index_of), field, violations)
        return 0 if label is None else label
    parts = factor.mixture.classes
    field = f"{field}.mixture"
    if len(parts) > _MOST_MIXED:
        violations.append((f"{field}.classes", f"has {len(parts)} entries; give at most {_MOST_MIXED}"))
        return 0
    weights: dict[int, float] = {}
    for i, part in enumerate(parts):
        where = f"{field}.classes[{i}]"
        known = _checked(lambda part=part: _class(part, card, index_of), where, violations)  # type: ignore[misc]
        if known in weights:
            violations.append((where, f"{card.class_names[known]} is given twice; add its weights up"))
        elif known is not None:
            weights[known] = part.weight
    if len(weights) < len(parts):
        return 0
    mixed = _checked(lambda: mixture(weights), field.removesuffix(".mixture"), violations)
    return 0 if mixed is None else mixed


def _class(part: pb.Factor | pb.WeightedClass, card: ModelCard, index_of: dict[str, int]) -> int:
    """The index of the class that a label names. Raises CgnInputError."""
    kind = part.WhichOneof("label")
    if kind == "label_index":
        if part.label_index < len(card.class_names):
            return part.label_index
        raise CgnInputError(kind, f"{part.label_index} is out of range; give {labels_of(card)}")
    if kind == "label_name":
        known = index_of.get(part.label_name)
        return find_class(card, part.label_name) if known is None else known
    if kind == "wordnet_id":
        return find_wordnet(card, part.wordnet_id)
    raise CgnInputError("label_index", f"no label is given; give {labels_of(card)}")


def labels_of(card: ModelCard) -> str:
    names = ", ".join(card.class_names[:10])
    more = ", ..." if len(card.class_names) > 10 else ""
    return f"label_index 0 to {len(card.class_names) - 1} or label_name, one of {names}{more}"


def _check_size(
    request: pb.GenerateRequest, outputs: tuple[pb.Output, ...], encoding: int, card: ModelCard
) -> None:
    """Refuses before any work what cannot fit: raw answers exactly, compressed ones by a ceiling."""
    count = fit = len(request.composites)
    if count > MAX_COMPOSITES:
        text = f"has {count} entries; give at most {MAX_COMPOSITES}, and ask for the rest separately"
        raise invalid("composites", text)
    if encoding in RAW_ITEM_BYTES and not _fit_anyway(count, outputs, encoding, card):
        fit = composites_that_fit(outputs, encoding, card, _longest_factor(request, card))
    if count > fit:
        images = f"{fit} composites ({fit * len(outputs)} images)"
        raise too_large(
            count, f"at most {images} fit with these outputs and this encoding; ask for the rest separately"
        )


def _fit_anyway(count: int, outputs: tuple[pb.Output, ...], encoding: int, card: ModelCard) -> bool:
    """Whether raw composites fit, however much is told of their factors; sooner known than how many do."""
    pixels = card.resolution**2 * sum(channels(output) for output in outputs)
    factors = 4 * (_FACTOR_BYTES + max(len(name.encode()) for name in card.class_names))
    return count * (pixels * RAW_ITEM_BYTES[encoding] + factors) < MAX_MESSAGE_BYTES


def _longest_factor(request: pb.GenerateRequest, card: ModelCard) -> pb.ResolvedFactor:
    """A factor as it may be told in the answer, as long as one of such a request can be."""
    factor = pb.ResolvedFactor(
        label_index=len(card.class_names) - 1,
        label_name=max(card.class_names, key=lambda name: len(name.encode())),
        seed=noise.MAX_SEED,
        cache_hit=True,
        truncation=1.0,
    )
    causes = [(c.shape, c.texture, c.background) for c in request.composites]
    if any(cause.HasField("mixture") for three in causes for cause in three):
        one = pb.WeightedClass(label_index=len(card.class_names) - 1, weight=1.0)
        factor.mixture.extend([one] * _MOST_MIXED)
    if any(cause.HasField("way") for three in causes for cause in three):
        factor.way.MergeFrom(pb.Way(to_seed=noise.MAX_SEED, share=1.0, path=pb.PATH_SPHERICAL))
    return factor


def needed_mechanisms(outputs: tuple[pb.Output, ...]) -> list[Mechanism]:
    """What the outputs are made from, the reference last."""
    drawn: tuple[Mechanism, ...] = (*MECHANISMS, "reference")
    return [mechanism for mechanism in drawn if any(mechanism in NEEDS[output] for output in outputs)]


def composites_that_fit(
    outputs: tuple[pb.Output, ...], encoding: int, card: ModelCard, factor: pb.ResolvedFactor
) -> int:
    """How many composites a raw answer can hold, whose factors are at most as long as the given one."""
    result = pb.CompositeResult(mu_mask=1.0)
    for mechanism in needed_mechanisms(outputs):
        getattr(result, mechanism).CopyFrom(factor)
    size = card.resolution
    for output in outputs:
        result.images.add(
            output=output,
            data=bytes(size * size * channels(output) * RAW_ITEM_BYTES[encoding]),
            height=size,
            width=size,
            channels=channels(output),
        )
    empty = pb.GenerateResponse(
        model=card.name, version=card.version, digest=card.digest, encoding=pb.ENCODING_RAW_FLOAT32
    )
    per_composite = pb.GenerateResponse(results=[result]).ByteSize()
    return (MAX_MESSAGE_BYTES - empty.ByteSize()) // per_composite
