"""From an InterpolateRequest to plans of its frames: what differs between the ends moves, all else stays."""

from collections.abc import Iterator
from dataclasses import dataclass

from cgn.card import ModelCard
from cgn.engine import Row
from cgn.factors import Label, NoiseInterpolation, Path, mixture
from cgn.noise import MECHANISMS, Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.errors import ApiError, Violation, invalid_fields
from services.generator.plan.generate import PATHS, Plan, plan

MOST_MIDPOINTS = 1000
_DEFAULT_MIDPOINTS = 8
_FRAMES_PER_SECOND = 12
_HIGHEST_FRAMES_PER_SECOND = 60


@dataclass(frozen=True)
class Interpolation:
    """The way from one composite to another.

    Attributes:
        start: plan of the first frame alone.
        end: rows of the last one, by mechanism, of the start's seeds and labels where it has none of its own.
        midpoints: frames between the two.
        path: of the noise.
        animation: what the frames are put into.
        frames_per_second: of the animation.
    """

    start: Plan
    end: dict[Mechanism, Row]
    midpoints: int
    path: Path
    animation: pb.Animation
    frames_per_second: int

    def frames(self) -> Iterator[tuple[float, Plan]]:
        """Every frame: its share of the way, and its plan."""
        for index in range(self.midpoints + 2):
            share = index / (self.midpoints + 1)
            rows = {
                mechanism: [between(row, self.end[mechanism], share, self.path)]
                for mechanism, (row,) in self.start.rows.items()
            }
            yield share, self.start.of(rows)


def between(start: Row, end: Row, share: float, path: Path) -> Row:
    """The row at a share of the way, 0 to 1; at 0 it is the start itself."""
    if share == 0:
        return start
    interpolation = NoiseInterpolation(end.seed, share, path) if end.seed != start.seed else None
    truncation = (1 - share) * start.truncation + share * end.truncation
    if start.truncation == end.truncation:
        truncation = start.truncation  # without rounding
    label = _mixed(start.label, end.label, share)
    return start._replace(label=label, interpolation=interpolation, truncation=truncation)


def _mixed(start: Label, end: Label, share: float) -> Label:
    weights: dict[int, float] = {}
    for label, part in ((start, 1 - share), (end, share)):
        for known, weight in [(label, 1.0)] if isinstance(label, int) else label:
            weights[known] = weights.get(known, 0.0) + part * weight
    return mixture(weights)


def interpolation(request: pb.InterpolateRequest, card: ModelCard) -> Interpolation:
    """Resolves a request for a model.

    Raises:
        ApiError: INVALID_ARGUMENT with a violation per wrong field.
    """
    if violations := list(_violations(request)):
        raise invalid_fields(violations)
    start = _plan(request, request.start, card, "start")
    first = {mechanism: row for mechanism, (row,) in start.rows.items()}
    last = pb.Composite(**{
        mechanism: _end_factor(
            getattr(request.start, mechanism), getattr(request.end, mechanism), first.get(mechanism)
        )
        for mechanism in MECHANISMS
        if request.start.HasField(mechanism) or request.end.HasField(mechanism)
    })  # fmt: skip
    end = _plan(request, last, card, "end")
    return Interpolation(
        start,
        {mechanism: row for mechanism, (row,) in end.rows.items()},
        midpoints(request),
        PATHS[request.path],
        request.animation,
        request.frames_per_second if request.HasField("frames_per_second") else _FRAMES_PER_SECOND,
    )


def midpoints(request: pb.InterpolateRequest) -> int:
    """Returns the number of frames between the two ends: the request's, else the default."""
    return request.midpoints if request.HasField("midpoints") else _DEFAULT_MIDPOINTS


def _end_factor(start: pb.Factor, end: pb.Factor, row: Row | None) -> pb.Factor:
    """The end's factor, with what it leaves open taken from the start."""
    factor = pb.Factor()
    factor.CopyFrom(start)
    if row:
        factor.seed = row.seed  # which the server may have drawn
    if end.WhichOneof("label"):
        factor.ClearField(start.WhichOneof("label") or "label_index")
    factor.MergeFrom(end)
    return factor


def _plan(request: pb.InterpolateRequest, composite: pb.Composite, card: ModelCard, field: str) -> Plan:
    """The plan of one end; violations name its field. Raises ApiError."""
    alone = pb.GenerateRequest(
        composites=[composite],
        outputs=request.outputs,
        encoding=request.encoding or (pb.ENCODING_RAW_UINT8 if request.animation else pb.ENCODING_PNG),
        hard_mask=request.hard_mask,
    )
    try:
        return plan(alone, card)
    except ApiError as error:
        moved = [(name.replace("composites[0]", field), text) for name, text in error.violations]
        raise invalid_fields(moved, error.reason) if moved else error from None


def _violations(request: pb.InterpolateRequest) -> Iterator[Violation]:
    if request.midpoints > MOST_MIDPOINTS:
        yield "midpoints", f"{request.midpoints} is out of range; give 0 to {MOST_MIDPOINTS}"
    if request.path not in PATHS:
        yield "path", f"{request.path} is unknown; use one of {', '.join(pb.Path.keys()[1:])}"
    if request.animation not in pb.Animation.values():
        known = ", ".join(pb.Animation.keys()[1:])
        yield "animation", f"{request.animation} is unknown; use one of {known}, or leave it out"
    if request.HasField("frames_per_second"):
        if not request.animation:
            yield "frames_per_second", "is of an animation; ask for one, or leave it out"
        elif not 1 <= request.frames_per_second <= _HIGHEST_FRAMES_PER_SECOND:
            text = f"{request.frames_per_second} is out of range; give 1 to {_HIGHEST_FRAMES_PER_SECOND}"
            yield "frames_per_second", text
    if request.animation and len(request.outputs) > 1:
        yield "outputs", f"has {len(request.outputs)} entries; an animation shows 1"
    if request.animation and request.encoding:
        yield "encoding", "is of single frames; leave it out with an animation"
    for name, composite in (("start", request.start), ("end", request.end)):
        for mechanism in MECHANISMS:
            if getattr(composite, mechanism).HasField("way"):
                yield f"{name}.{mechanism}.way", "is what Interpolate makes itself; leave it out"
    if not any(request.end.HasField(mechanism) for mechanism in MECHANISMS):
        yield "end", "must differ from the start; give at least one mechanism's factor"
