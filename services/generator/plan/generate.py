"""Plans a GenerateRequest: resolves every label and seed, and reports every invalid field."""

from collections.abc import Sequence

from cgn.card import ModelCard
from cgn.engine import Row
from cgn.noise import Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.errors import Violation, invalid_fields
from services.generator.plan.factors import FactorReader, InvalidFactor, label_range
from services.generator.plan.plan import Plan, needed_mechanisms, outputs_of
from services.generator.plan.sizes import check_composites

MAX_VIOLATIONS = 16  # checks stop after this number


def plan_generate(request: pb.GenerateRequest, card: ModelCard) -> Plan:
    """Plans a request for a model.

    Raises:
        ApiError: INVALID_ARGUMENT with a violation per invalid field; checks stop after MAX_VIOLATIONS.
    """
    violations = outputs_violations(request.outputs, outputs_of(card), card)
    violations += encoding_violations(request.encoding)
    if not request.composites:
        violations.append(("composites", "must have at least 1 entry"))
    if violations:
        raise invalid_fields(violations)

    plan = Plan(card, tuple(request.outputs), request.encoding or pb.ENCODING_PNG, request.hard_mask)
    check_composites(request, plan)
    reader = FactorReader(card)
    composites: dict[Mechanism, list[Row]] = {mechanism: [] for mechanism in needed_mechanisms(plan.outputs)}
    # The reference has the factor of the shape.
    fields = [
        (mechanism, "shape" if mechanism == "reference" else mechanism, rows)
        for mechanism, rows in composites.items()
        if mechanism != "reference" or "shape" not in composites
    ]
    for i, composite in enumerate(request.composites):
        for mechanism, name, rows in fields:
            if not composite.HasField(name):
                text = f"is required for these outputs; give {label_range(card)}"
                violations.append((f"composites[{i}].{name}", text))
                continue
            try:
                rows.append(reader.row(mechanism, getattr(composite, name)))
            except InvalidFactor as error:
                violations += error.violations_at(f"composites[{i}].{name}")
        if len(violations) >= MAX_VIOLATIONS:
            break
    if violations:
        raise invalid_fields(violations)
    if "reference" in composites and "shape" in composites:
        composites["reference"] = [row._replace(mechanism="reference") for row in composites["shape"]]
    return plan.with_composites(composites)


def outputs_violations(
    outputs: Sequence[int], available: Sequence[pb.Output], card: ModelCard
) -> list[Violation]:
    """Returns why outputs cannot be requested: unavailable, repeated or empty."""
    names = ", ".join(pb.Output.Name(output) for output in available)
    if not outputs:
        return [("outputs", f"must have at least 1 entry; use {names}")]
    violations = []
    for i, output in enumerate(outputs):
        if output not in available:
            name = pb.Output.Name(output) if output in pb.Output.values() else output
            violations.append(
                (f"outputs[{i}]", f"{name} is not an output of family {card.family}; use {names}")
            )
        elif output in outputs[:i]:
            violations.append(
                (f"outputs[{i}]", f"{pb.Output.Name(output)} is requested twice; request it once")
            )
        if len(violations) >= MAX_VIOLATIONS:
            break
    return violations


def encoding_violations(encoding: int) -> list[Violation]:
    """Returns why an encoding cannot be requested."""
    if encoding in pb.Encoding.values():
        return []
    names = ", ".join(pb.Encoding.keys()[1:])
    return [("encoding", f"{encoding} is unknown; use one of {names}")]
