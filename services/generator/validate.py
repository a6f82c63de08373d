"""From a GenerateRequest to a plan: every label and seed resolved, every mistake named by its field."""

from dataclasses import dataclass

import grpc

from cgn import noise
from cgn.card import ModelCard
from cgn.engine import Row
from cgn.noise import MECHANISMS, Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.errors import ApiError, Violation, invalid_fields
from services.generator.row_cache import DType
from services.grpc_server import MAX_MESSAGE_BYTES

# However small the files of a compressed answer turn out to be.
MAX_COMPOSITES = 4096
_MOST_VIOLATIONS = 16

# Which mechanisms an output needs.
NEEDS: dict[int, tuple[Mechanism, ...]] = {
    pb.OUTPUT_COMPOSITE: ("shape", "texture", "background"),
    pb.OUTPUT_MASK: ("shape",),
    pb.OUTPUT_FOREGROUND: ("texture",),
    pb.OUTPUT_BACKGROUND: ("background",),
    pb.OUTPUT_PRE_MASK: ("shape",),
}
FAMILY_OUTPUTS: dict[str, tuple[pb.Output, ...]] = {
    "mnist": (pb.OUTPUT_COMPOSITE, pb.OUTPUT_MASK, pb.OUTPUT_FOREGROUND, pb.OUTPUT_BACKGROUND),
}
_RAW_ITEM_BYTES: dict[int, int] = {pb.ENCODING_RAW_UINT8: 1, pb.ENCODING_RAW_FLOAT32: 4}


@dataclass(frozen=True)
class Plan:
    """What a request asks for.

    Attributes:
        card: of the model that answers.
        outputs: asked, each once, in the order asked.
        encoding: as asked, PNG if that was left open.
        composites: per image, the row of every mechanism that the outputs need.
    """

    card: ModelCard
    outputs: tuple[pb.Output, ...]
    encoding: pb.Encoding
    composites: list[dict[Mechanism, Row]]

    @property
    def dtype(self) -> DType:
        """Type of the rows that this answer is made from, and from no other."""
        return "float32" if self.encoding == pb.ENCODING_RAW_FLOAT32 else "uint8"

    def rows(self) -> list[Row]:
        """The distinct rows: the work."""
        return list(dict.fromkeys(row for rows in self.composites for row in rows.values()))


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
    violations = _outputs_violations(request, card)
    if request.encoding not in pb.Encoding.values():
        names = ", ".join(pb.Encoding.keys()[1:])
        violations.append(("encoding", f"{request.encoding} is unknown; use one of {names}"))
    if not request.composites:
        violations.append(("composites", "must have at least 1 entry"))
    if violations:
        raise invalid_fields(violations)

    encoding = request.encoding or pb.ENCODING_PNG
    outputs = tuple(request.outputs)
    _check_size(len(request.composites), outputs, encoding, card)
    needed = needed_mechanisms(outputs)
    index_of = {name: index for index, name in enumerate(card.class_names)}

    composites: list[dict[Mechanism, Row]] = []
    for i, composite in enumerate(request.composites):
        rows: dict[Mechanism, Row] = {}
        for mechanism in needed:
            field = f"composites[{i}].{mechanism}"
            if not composite.HasField(mechanism):
                violations.append((field, f"is required for these outputs; give {_labels(card)}"))
                continue
            factor: pb.Factor = getattr(composite, mechanism)
            label = _label(factor, field, card, index_of, violations)
            seed = factor.seed if factor.HasField("seed") else noise.draw_seed()
            rows[mechanism] = Row(card.digest, mechanism, label, seed)
        composites.append(rows)
        if len(violations) >= _MOST_VIOLATIONS:
            break
    if violations:
        raise invalid_fields(violations)
    return Plan(card, outputs, encoding, composites)


def _outputs_violations(request: pb.GenerateRequest, card: ModelCard) -> list[Violation]:
    available = FAMILY_OUTPUTS[card.family]
    names = ", ".join(pb.Output.Name(output) for output in available)
    if not request.outputs:
        return [("outputs", f"must have at least 1 entry; use {names}")]
    violations = []
    for i, output in enumerate(request.outputs):
        if output not in available:
            name = pb.Output.Name(output) if output in pb.Output.values() else output
            violations.append((f"outputs[{i}]", f"{name} is not in family {card.family}; use {names}"))
        elif output in request.outputs[:i]:
            violations.append((f"outputs[{i}]", f"{pb.Output.Name(output)} is asked twice; ask for it once"))
        if len(violations) >= _MOST_VIOLATIONS:
            break
    return violations


def _label(
    factor: pb.Factor, field: str, card: ModelCard, index_of: dict[str, int], violations: list[Violation]
) -> int:
    """The class index of a factor; -1 after adding a violation."""
    kind = factor.WhichOneof("label")
    if kind == "label_index" and factor.label_index < len(card.class_names):
        return factor.label_index
    if kind == "label_name" and factor.label_name in index_of:
        return index_of[factor.label_name]
    if kind == "label_index":
        what = f"{factor.label_index} is out of range"
    elif kind == "label_name":
        what = f"{factor.label_name!r:.80} is unknown"
    else:
        what = "no label is given"
    violations.append((f"{field}.{kind or 'label_index'}", f"{what}; give {_labels(card)}"))
    return -1


def _labels(card: ModelCard) -> str:
    names = ", ".join(card.class_names[:10])
    more = ", ..." if len(card.class_names) > 10 else ""
    return f"label_index 0 to {len(card.class_names) - 1} or label_name, one of {names}{more}"


def _check_size(count: int, outputs: tuple[pb.Output, ...], encoding: int, card: ModelCard) -> None:
    """Refuses before any work what cannot fit: raw answers exactly, compressed ones by a ceiling."""
    fit = composites_that_fit(outputs, encoding, card) if encoding in _RAW_ITEM_BYTES else MAX_COMPOSITES
    if count > fit:
        images = f"{fit} composites ({fit * len(outputs)} images)"
        raise too_large(
            count, f"at most {images} fit with these outputs and this encoding; ask for the rest separately"
        )


def needed_mechanisms(outputs: tuple[pb.Output, ...]) -> list[Mechanism]:
    """The mechanisms that the outputs are made from."""
    return [mechanism for mechanism in MECHANISMS if any(mechanism in NEEDS[output] for output in outputs)]


def composites_that_fit(outputs: tuple[pb.Output, ...], encoding: int, card: ModelCard) -> int:
    """How many composites a raw answer can hold, whatever their labels and seeds."""
    longest_name = max(card.class_names, key=lambda name: len(name.encode()))
    factor = pb.ResolvedFactor(
        label_index=len(card.class_names) - 1, label_name=longest_name, seed=noise.MAX_SEED, cache_hit=True
    )
    result = pb.CompositeResult(mu_mask=1.0)
    for mechanism in needed_mechanisms(outputs):
        getattr(result, mechanism).CopyFrom(factor)
    size = card.resolution
    for output in outputs:
        result.images.add(
            output=output,
            data=bytes(size * size * channels(output) * _RAW_ITEM_BYTES[encoding]),
            height=size,
            width=size,
            channels=channels(output),
        )
    empty = pb.GenerateResponse(
        model=card.name, version=card.version, digest=card.digest, encoding=pb.ENCODING_RAW_FLOAT32
    )
    per_composite = pb.GenerateResponse(results=[result]).ByteSize()
    return (MAX_MESSAGE_BYTES - empty.ByteSize()) // per_composite
