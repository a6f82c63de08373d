"""Plans the chunks of a GenerateProductRequest: every combination of sets of factors, in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cgn.card import ModelCard
from cgn.engine import Row
from cgn.noise import MECHANISMS, Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.errors import Violation, invalid, invalid_fields
from services.generator.plan.factors import FactorReader, InvalidFactor, label_range
from services.generator.plan.generate import MAX_VIOLATIONS, encoding_violations, outputs_violations
from services.generator.plan.plan import Plan, needed_mechanisms, outputs_of
from services.generator.plan.sizes import check_header, usual_batch

MAX_FACTORS = 4096  # of one mechanism
_FIELDS: dict[Mechanism, str] = {"shape": "shapes", "texture": "textures", "background": "backgrounds"}


@dataclass(frozen=True)
class Product:
    """Every combination of sets of rows.

    Attributes:
        plan: common part of the chunks' plans; it has no composites.
        needed: the mechanisms that the outputs need.
        sets: the rows of each mechanism that has factors.
        header: the first message of the stream.
        start: index of the first combination to send.
    """

    plan: Plan
    needed: Sequence[Mechanism]
    sets: dict[Mechanism, list[Row]]
    header: pb.ProductHeader
    start: int

    def starts(self) -> range:
        """Returns the index of the first combination of every chunk."""
        return range(self.start, self.header.combinations, usual_batch(self.plan))

    def chunk(self, start: int) -> Plan:
        """Returns the plan of the chunk that begins at combination `start`."""
        stop = min(start + usual_batch(self.plan), self.header.combinations)
        number = np.arange(start, stop)
        composites: dict[Mechanism, list[Row]] = {}
        for mechanism in reversed(MECHANISMS):  # backgrounds change fastest, shapes slowest
            if mechanism in self.sets:
                rows = self.sets[mechanism]
                number, index = np.divmod(number, len(rows))
                composites[mechanism] = [rows[i] for i in index.tolist()]
        if "reference" in self.needed:
            composites["reference"] = [row._replace(mechanism="reference") for row in composites["shape"]]
        return self.plan.with_composites({mechanism: composites[mechanism] for mechanism in self.needed})


def plan_product(request: pb.GenerateProductRequest, card: ModelCard) -> Product:
    """Plans a request for a model.

    Raises:
        ApiError: INVALID_ARGUMENT with a violation per invalid field; checks stop after MAX_VIOLATIONS.
    """
    violations = outputs_violations(request.outputs, outputs_of(card), card)
    violations += encoding_violations(request.encoding)
    if violations:
        raise invalid_fields(violations)
    plan = Plan(card, tuple(request.outputs), request.encoding or pb.ENCODING_PNG, request.hard_mask)
    usual_batch(plan)  # raises if one message cannot hold one image of each output
    needed = needed_mechanisms(plan.outputs)
    reader = FactorReader(card)
    sets: dict[Mechanism, list[Row]] = {}
    combinations = 1
    for mechanism, field in _FIELDS.items():
        factors: Sequence[pb.Factor] = getattr(request, field)
        required = mechanism in needed or (mechanism == "shape" and "reference" in needed)
        if wrong_count := _count_violations(field, len(factors), required, card):
            violations += wrong_count
        elif required:
            combinations *= len(factors)
            sets[mechanism] = rows = []
            for i, factor in enumerate(factors):
                try:
                    rows.append(reader.row(mechanism, factor))
                except InvalidFactor as error:
                    violations += error.violations_at(f"{field}[{i}]")
                if len(violations) >= MAX_VIOLATIONS:
                    break
    if violations:
        raise invalid_fields(violations)
    if request.start >= combinations:
        text = f"{request.start} is out of range; give 0 to {combinations - 1}"
        raise invalid("start", text)
    return Product(plan, needed, sets, _header(request, plan, sets, combinations), request.start)


def _count_violations(field: str, count: int, required: bool, card: ModelCard) -> list[Violation]:
    if required and not 1 <= count <= MAX_FACTORS:
        return [(field, f"has {count} factors; give 1 to {MAX_FACTORS}, each with {label_range(card)}")]
    if count and not required:
        return [(field, f"has {count} factors, but no requested output needs them; omit them")]
    return []


def _header(
    request: pb.GenerateProductRequest, plan: Plan, sets: dict[Mechanism, list[Row]], combinations: int
) -> pb.ProductHeader:
    """Returns the header of a product. Raises ApiError if it does not fit into one message."""
    card = plan.card
    header = pb.ProductHeader(
        model=card.name,
        version=card.version,
        digest=card.digest,
        encoding=plan.encoding,
        combinations=combinations,
    )
    for mechanism, rows in sets.items():
        factors = getattr(header, _FIELDS[mechanism])
        for factor, row in zip(getattr(request, _FIELDS[mechanism]), rows, strict=True):
            factors.add().MergeFrom(factor)
            factors[-1].seed = row.seed
    check_header(header)
    return header
