"""Plans the frames of an InterpolateRequest: interpolates the factors that differ between start and end."""

from collections.abc import Iterator
from dataclasses import dataclass

from cgn.card import ModelCard
from cgn.engine import Row
from cgn.factors import Label, NoiseInterpolation, Path, mixture
from cgn.noise import MECHANISMS, Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.errors import ApiError, Violation, invalid_fields
from services.generator.plan.factors import PATHS
from services.generator.plan.generate import plan_generate
from services.generator.plan.plan import Plan

MAX_MIDPOINTS = 1000
_DEFAULT_MIDPOINTS = 8
_DEFAULT_FRAMES_PER_SECOND = 12
_MAX_FRAMES_PER_SECOND = 60
# Frames are computed in groups of at most 16 frames and, per output channel, 2^16 pixels.
_FRAMES_AT_ONCE, _PIXELS_AT_ONCE = 16, 1 << 16


@dataclass(frozen=True)
class Interpolation:
    """The frames from one composite to another.

    Attributes:
        start: plan of the first frame alone.
        end: rows of the last frame, by mechanism; seeds and labels that the end omits come from the start.
        midpoints: number of frames between the two.
        path: path of the noise between its two vectors.
        animation: format of the animation; 0: frames are sent one by one.
        frames_per_second: speed of the animation.
    """

    start: Plan
    end: dict[Mechanism, Row]
    midpoints: int
    path: Path
    animation: pb.Animation
    frames_per_second: int

    def parts(self) -> Iterator[tuple[list[float], Plan]]:
        """Yields all frames in groups: the position t of each frame, 0 to 1, and the plan of the group."""
        count = self.midpoints + 2
        step = max(1, min(_FRAMES_AT_ONCE, _PIXELS_AT_ONCE // self.start.card.resolution**2))
        for first in range(0, count, step):
            ts = [index / (count - 1) for index in range(first, min(first + step, count))]
            yield (
                ts,
                self.start.with_composites(
                    {
                        mechanism: [between(row, self.end[mechanism], t, self.path) for t in ts]
                        for mechanism, (row,) in self.start.rows.items()
                    }
                ),
            )


def between(start: Row, end: Row, t: float, path: Path) -> Row:
    """Returns the row at position t, 0 to 1, between two rows; t = 0 gives the start itself."""
    if t == 0:
        return start
    interpolation = NoiseInterpolation(end.seed, t, path) if end.seed != start.seed else None
    truncation = (1 - t) * start.truncation + t * end.truncation
    if start.truncation == end.truncation:
        truncation = start.truncation  # without rounding
    label = _mixed(start.label, end.label, t)
    return start._replace(label=label, interpolation=interpolation, truncation=truncation)


def _mixed(start: Label, end: Label, t: float) -> Label:
    weights: dict[int, float] = {}
    for label, part in ((start, 1 - t), (end, t)):
        for index, weight in [(label, 1.0)] if isinstance(label, int) else label:
            weights[index] = weights.get(index, 0.0) + part * weight
    return mixture(weights)


def plan_interpolation(request: pb.InterpolateRequest, card: ModelCard) -> Interpolation:
    """Plans a request for a model.

    Raises:
        ApiError: INVALID_ARGUMENT with a violation per invalid field.
    """
    if violations := list(_violations(request)):
        raise invalid_fields(violations)
    start = _plan_end(request, request.start, card, "start")
    start_rows = {mechanism: row for mechanism, (row,) in start.rows.items()}
    end_composite = pb.Composite(**{
        mechanism: _end_factor(
            getattr(request.start, mechanism), getattr(request.end, mechanism), start_rows.get(mechanism)
        )
        for mechanism in MECHANISMS
        if request.start.HasField(mechanism) or request.end.HasField(mechanism)
    })  # fmt: skip
    end = _plan_end(request, end_composite, card, "end")
    return Interpolation(
        start,
        {mechanism: row for mechanism, (row,) in end.rows.items()},
        midpoints(request),
        PATHS[request.path],
        request.animation,
        request.frames_per_second if request.HasField("frames_per_second") else _DEFAULT_FRAMES_PER_SECOND,
    )


def midpoints(request: pb.InterpolateRequest) -> int:
    """Returns the number of frames between start and end: that of the request, else the default."""
    return request.midpoints if request.HasField("midpoints") else _DEFAULT_MIDPOINTS


def _end_factor(start: pb.Factor, end: pb.Factor, row: Row | None) -> pb.Factor:
    """Returns the factor of the end; fields that it omits are taken from the start."""
    factor = pb.Factor()
    factor.CopyFrom(start)
    if row:
        factor.seed = row.seed  # the server may have drawn it
    if end.WhichOneof("label"):
        factor.ClearField(start.WhichOneof("label") or "label_index")
    factor.MergeFrom(end)
    return factor


def _plan_end(request: pb.InterpolateRequest, composite: pb.Composite, card: ModelCard, field: str) -> Plan:
    """Returns the plan of the start or end; `field` is its path in violations. Raises ApiError."""
    alone = pb.GenerateRequest(
        composites=[composite],
        outputs=request.outputs,
        encoding=request.encoding or (pb.ENCODING_RAW_UINT8 if request.animation else pb.ENCODING_PNG),
        hard_mask=request.hard_mask,
    )
    try:
        return plan_generate(alone, card)
    except ApiError as error:
        moved = [(name.replace("composites[0]", field), text) for name, text in error.violations]
        raise invalid_fields(moved, error.reason) if moved else error from None


def _violations(request: pb.InterpolateRequest) -> Iterator[Violation]:
    if request.midpoints > MAX_MIDPOINTS:
        yield "midpoints", f"{request.midpoints} is out of range; give 0 to {MAX_MIDPOINTS}"
    if request.path not in PATHS:
        yield "path", f"{request.path} is unknown; use one of {', '.join(pb.Path.keys()[1:])}"
    if request.animation not in pb.Animation.values():
        known = ", ".join(pb.Animation.keys()[1:])
        yield "animation", f"{request.animation} is unknown; use one of {known}, or omit it"
    if request.HasField("frames_per_second"):
        if not request.animation:
            yield "frames_per_second", "applies only to animations; set animation, or omit this field"
        elif not 1 <= request.frames_per_second <= _MAX_FRAMES_PER_SECOND:
            text = f"{request.frames_per_second} is out of range; give 1 to {_MAX_FRAMES_PER_SECOND}"
            yield "frames_per_second", text
    if request.animation and len(request.outputs) > 1:
        yield "outputs", f"has {len(request.outputs)} entries; an animation has 1 output"
    if request.animation and request.encoding:
        yield "encoding", "applies only to single frames; omit it with an animation"
    for name, composite in (("start", request.start), ("end", request.end)):
        for mechanism in MECHANISMS:
            if getattr(composite, mechanism).HasField("way"):
                yield f"{name}.{mechanism}.way", "is set by Interpolate itself; omit it"
    if not any(request.end.HasField(mechanism) for mechanism in MECHANISMS):
        yield "end", "must differ from start; give the factor of at least one mechanism"
