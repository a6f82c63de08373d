"""From a GenerateProductRequest to plans of its chunks: every combination of sets of factors, in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cgn.card import ModelCard
from cgn.engine import Row
from cgn.noise import MECHANISMS, Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.errors import Violation, invalid, invalid_fields
from services.generator.answers.batches import usual_batch
from services.generator.plan.generate import (
    MOST_VIOLATIONS,
    Plan,
    encoding_violations,
    labels_of,
    needed_mechanisms,
    outputs_of,
    outputs_violations,
    row_of,
)
from services.grpc_server import MAX_MESSAGE_BYTES

MOST_FACTORS = 4096  # of a set
_FIELDS: dict[Mechanism, str] = {"shape": "shapes", "texture": "textures", "background": "backgrounds"}


@dataclass(frozen=True)
class Product:
    """Every combination of sets of rows.

    Attributes:
        plan: what all chunks have in common; without composites.
        needed: mechanisms that the outputs are made from.
        sets: rows of each mechanism that has factors.
        header: what the client is told first.
        start: number of the first combination to send.
    """

    plan: Plan
    needed: Sequence[Mechanism]
    sets: dict[Mechanism, list[Row]]
    header: pb.ProductHeader
    start: int

    def starts(self) -> range:
        """Number of the first combination of every chunk."""
        return range(self.start, self.header.combinations, usual_batch(self.plan))

    def chunk(self, start: int) -> Plan:
        """The plan of the chunk that begins there."""
        stop = min(start + usual_batch(self.plan), self.header.combinations)
        number = np.arange(start, stop)
        composites: dict[Mechanism, list[Row]] = {}
        for mechanism in reversed(MECHANISMS):  # backgrounds change fastest, shapes slowest
            if mechanism in self.sets:
                rows = self.sets[mechanism]
                number, which = np.divmod(number, len(rows))
                composites[mechanism] = [rows[i] for i in which.tolist()]
        if "reference" in self.needed:
            composites["reference"] = [row._replace(mechanism="reference") for row in composites["shape"]]
        return self.plan.of({mechanism: composites[mechanism] for mechanism in self.needed})


def product(request: pb.GenerateProductRequest, card: ModelCard) -> Product:
    """Resolves a request for a model.

    Raises:
        ApiError: INVALID_ARGUMENT with a violation per wrong field (the first few of many).
    """
    violations = outputs_violations(request.outputs, outputs_of(card), card)
    violations += encoding_violations(request.encoding)
    if violations:
        raise invalid_fields(violations)
    outputs = tuple(request.outputs)
    encoding = request.encoding or pb.ENCODING_PNG
    plan = Plan(card, outputs, encoding, request.hard_mask)
    usual_batch(plan)  # refuses what no message can hold
    needed = needed_mechanisms(outputs)
    index_of = {name: index for index, name in enumerate(card.class_names)}
    sets: dict[Mechanism, list[Row]] = {}
    combinations = 1
    for mechanism, field in _FIELDS.items():
        factors: Sequence[pb.Factor] = getattr(request, field)
        wanted = mechanism in needed or (mechanism == "shape" and "reference" in needed)
        wrong_count = _count_violations(field, len(factors), wanted, card)
        violations += wrong_count
        if wanted and not wrong_count:
            combinations *= len(factors)
            sets[mechanism] = rows = []
            for i, factor in enumerate(factors):
                rows.append(row_of(mechanism, factor, f"{field}[{i}]", card, index_of, violations))
                if len(violations) >= MOST_VIOLATIONS:
                    break
    if violations:
        raise invalid_fields(violations)
    if request.start >= combinations:
        text = f"{request.start} is out of range; give 0 to {combinations - 1}"
        raise invalid("start", text)
    return Product(plan, needed, sets, _header(request, plan, sets, combinations), request.start)


def _count_violations(field: str, count: int, wanted: bool, card: ModelCard) -> list[Violation]:
    if wanted and not 1 <= count <= MOST_FACTORS:
        return [(field, f"has {count} factors; give 1 to {MOST_FACTORS}, each with {labels_of(card)}")]
    if count and not wanted:
        return [(field, f"has {count} factors that no output shows; leave them out")]
    return []


def _header(
    request: pb.GenerateProductRequest, plan: Plan, sets: dict[Mechanism, list[Row]], combinations: int
) -> pb.ProductHeader:
    card = plan.card
    header = pb.ProductHeader(
        model=card.name,
        version=card.version,
        digest=card.digest,
        encoding=plan.encoding,
        combinations=combinations,
    )
    for mechanism, rows in sets.items():
        told = getattr(header, _FIELDS[mechanism])
        for factor, row in zip(getattr(request, _FIELDS[mechanism]), rows, strict=True):
            told.add().MergeFrom(factor)
            told[-1].seed = row.seed
    if header.ByteSize() > MAX_MESSAGE_BYTES:
        raise invalid("shapes", "and the other factors do not fit into one message; ask for fewer at once")
    return header
