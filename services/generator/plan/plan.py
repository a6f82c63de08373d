"""The plan of a response: the rows to compute, and the rows that each composite combines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from cgn.card import ModelCard
from cgn.engine import Row
from cgn.families.table import FAMILIES
from cgn.noise import MECHANISMS, Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.generator.plan.types import DType

# The mechanisms that each output needs.
NEEDS: dict[int, tuple[Mechanism, ...]] = {
    pb.OUTPUT_COMPOSITE: ("shape", "texture", "background"),
    pb.OUTPUT_MASK: ("shape",),
    pb.OUTPUT_FOREGROUND: ("texture",),
    pb.OUTPUT_BACKGROUND: ("background",),
    pb.OUTPUT_PRE_MASK: ("shape",),
    pb.OUTPUT_REFERENCE: ("reference",),
}
RAW_ITEM_BYTES: dict[int, int] = {pb.ENCODING_RAW_UINT8: 1, pb.ENCODING_RAW_FLOAT32: 4}


@dataclass(frozen=True)
class Plan:
    """The parsed form of a request for images.

    Attributes:
        card: card of the model that answers.
        outputs: the requested outputs, each once, in the order of the request.
        encoding: encoding of the images; PNG by default.
        hard_mask: whether masks are thresholded at 1/2.
        rows: by mechanism that the outputs need, its distinct rows.
        picks: by mechanism, the index in `rows` of each composite's row.
    """

    card: ModelCard
    outputs: tuple[pb.Output, ...]
    encoding: pb.Encoding
    hard_mask: bool = False
    rows: Mapping[Mechanism, list[Row]] = field(default_factory=dict)
    picks: Mapping[Mechanism, list[int]] = field(default_factory=dict)

    @property
    def dtype(self) -> DType:
        """Data type of the rows from which the response is built."""
        return "float32" if self.encoding == pb.ENCODING_RAW_FLOAT32 else "uint8"

    @property
    def raw(self) -> bool:
        """Whether images are sent as raw bytes, not as files."""
        return self.encoding in RAW_ITEM_BYTES

    @property
    def composites(self) -> int:
        """Number of composites."""
        return len(next(iter(self.picks.values()), ()))

    def all_rows(self) -> list[Row]:
        """Returns the distinct rows of all mechanisms."""
        return [row for rows in self.rows.values() for row in rows]

    def with_composites(self, composites: Mapping[Mechanism, Sequence[Row]]) -> "Plan":
        """Returns the plan for other composites, given as the row of each composite by mechanism."""
        rows: dict[Mechanism, list[Row]] = {}
        picks: dict[Mechanism, list[int]] = {}
        for mechanism, composite_rows in composites.items():
            index: dict[Row, int] = {}
            picks[mechanism] = [index.setdefault(row, len(index)) for row in composite_rows]
            rows[mechanism] = list(index)
        return replace(self, rows=rows, picks=picks)


def outputs_of(card: ModelCard) -> tuple[pb.Output, ...]:
    """Returns the outputs of a model."""
    names = [f"OUTPUT_{output.upper()}" for output in FAMILIES[card.family].outputs]
    if not card.architecture.get("reference", 1):
        names.remove("OUTPUT_REFERENCE")
    return tuple(cast(pb.Output, pb.Output.Value(name)) for name in names)


def channels(output: int) -> int:
    """Returns the number of channels of an output's images: 1 for masks, else 3."""
    return 1 if output == pb.OUTPUT_MASK else 3


def needed_mechanisms(outputs: Sequence[int]) -> list[Mechanism]:
    """Returns the mechanisms that outputs need; "reference" comes last."""
    mechanisms: tuple[Mechanism, ...] = (*MECHANISMS, "reference")
    return [mechanism for mechanism in mechanisms if any(mechanism in NEEDS[output] for output in outputs)]
