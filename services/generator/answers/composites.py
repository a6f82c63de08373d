"""From rows to a GenerateResponse: compose, encode, measure. Runs in a thread, not on the event loop."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from cgn.card import ModelCard
from cgn.composer import compose
from cgn.engine import Row
from cgn.images.pixels import ImageFormat, compose_uint8, encode
from cgn.noise import Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.generator.answers.tally import Mask
from services.generator.plan.generate import NEEDS, Plan, too_large
from services.generator.rows.redis_tier import Pixels
from services.grpc_server import MAX_MESSAGE_BYTES

_FILES: dict[int, ImageFormat] = {
    pb.ENCODING_PNG: "png",
    pb.ENCODING_JPEG: "jpeg",
    pb.ENCODING_WEBP: "webp",
}
_PIXELS_AT_ONCE = 1 << 16  # of composites that are drawn together: their maps stay in the processor's cache

# For casts: written where they stand, types would be made anew in every call.
_Level = NDArray[np.uint8]
_Levels = list[_Level]
_Floats = list[NDArray[np.float32]]


def answer(
    plan: Plan, pixels: Mapping[Row, Pixels], cached: set[Row], masks: Sequence[Mask]
) -> pb.GenerateResponse:
    """The response to a plan.

    Args:
        plan: of what is asked.
        pixels: every row of the plan, in the plan's data type.
        cached: those that no forward pass was run for.
        masks: what is told of the plan's rows of shape, if it has any.

    Raises:
        ApiError: RESPONSE_TOO_LARGE with the number of composites that fit.
    """
    card = plan.card
    response = pb.GenerateResponse(
        model=card.name, version=card.version, digest=card.digest, encoding=plan.encoding
    )
    total = response.ByteSize()
    arrays = {mechanism: [pixels[row] for row in rows] for mechanism, rows in plan.rows.items()}
    # Composites share rows: what is told of a row is written once, and copied.
    told = {
        mechanism: [_resolved(row, card, row in cached) for row in rows]
        for mechanism, rows in plan.rows.items()
    }
    files: dict[tuple[int, ...], bytes] = {}
    size = card.resolution
    step = max(1, _PIXELS_AT_ONCE // size**2)
    for start in range(0, plan.composites, step):
        some = range(start, min(start + step, plan.composites))
        images = [_images(output, plan, arrays, some, files) for output in plan.outputs]
        for i in some:
            result = response.results.add()
            for mechanism, factors in told.items():
                getattr(result, mechanism).CopyFrom(factors[plan.picks[mechanism][i]])
            if masks:
                result.mu_mask = masks[plan.picks["shape"][i]].mean
            for image in images:
                data = image.data[i - start]
                result.images.add(
                    output=image.output, data=data, height=size, width=size, channels=image.channels
                )
            if plan.encoding in _FILES:  # a raw answer was measured before any work
                rows = [plan.rows[mechanism][picks[i]] for mechanism, picks in plan.picks.items()]
                length = result.ByteSize() + sum(_slack_bytes(row, row in cached) for row in rows)
                total += 1 + _varint_bytes(length) + length
                if total > MAX_MESSAGE_BYTES:
                    fit = f"the first {i} of these composites ({i * len(plan.outputs)} images) fit"
                    raise too_large(plan.composites, f"{fit}; ask for the rest separately")
    return response


def _resolved(row: Row, card: ModelCard, cached: bool) -> pb.ResolvedFactor:
    """A factor as it was used."""
    told = pb.ResolvedFactor()
    told.seed, told.cache_hit, told.truncation = row.seed, cached, row.truncation
    if isinstance(row.label, int):
        told.label_index, told.label_name = row.label, card.class_names[row.label]
    else:
        for label, weight in row.label:
            told.mixture.add(label_index=label, weight=weight)
    if interpolation := row.interpolation:
        path = pb.PATH_SPHERICAL if interpolation.path == "spherical" else pb.PATH_LINEAR
        told.way.MergeFrom(pb.Way(to_seed=interpolation.to_seed, share=interpolation.t, path=path))
    return told


class _Images(NamedTuple):
    """One output of some composites, written."""

    output: pb.Output
    channels: int
    data: list[bytes]


def _images(
    output: pb.Output,
    plan: Plan,
    arrays: Mapping[Mechanism, Sequence[Pixels]],
    some: range,
    files: dict[tuple[int, ...], bytes],
) -> _Images:
    """One output of some of a plan's composites, drawn together.

    arrays: the pixels of the plan's rows. Stacked for these composites alone: all at once would take as much
    memory as the rows again.

    files: by output and rows, so that each is encoded once however many composites share it; raw bytes are
    sooner made again.
    """
    picks = [plan.picks[mechanism][some.start : some.stop] for mechanism in NEEDS[output]]
    parts = [
        cast(Pixels, np.stack([arrays[mechanism][pick] for pick in of_each]))
        for mechanism, of_each in zip(NEEDS[output], picks, strict=True)
    ]
    drawn = draw(output, plan, parts)
    if plan.encoding not in _FILES:
        whole = written(drawn, plan.encoding)
        size = len(whole) // len(some)
        data = [whole[start : start + size] for start in range(0, len(whole), size)]
    else:
        names = [(output, *rows) for rows in zip(*picks, strict=True)]
        for name, array in zip(names, drawn, strict=True):
            if name not in files:
                files[name] = written(array, plan.encoding)
        data = [files[name] for name in names]
    return _Images(output, drawn.shape[-1], data)


def draw(output: int, plan: Plan, parts: list[Pixels]) -> Pixels:
    """An output of one image, or of several.

    parts: the rows that it is made from, (..., H, W, channels) each, in the order of NEEDS.
    """
    if output == pb.OUTPUT_PRE_MASK:
        return parts[0][..., 1:]
    if "shape" in NEEDS[output]:
        parts[0] = _mask(parts[0], plan.hard_mask)
    if output != pb.OUTPUT_COMPOSITE:
        return parts[0]
    if plan.encoding == pb.ENCODING_RAW_FLOAT32:
        m, f, b = cast(_Floats, parts)
        return compose(m, f, b)
    return compose_uint8(*cast(_Levels, parts))


def written(array: Pixels, encoding: int) -> bytes:
    """One image as a file; one or several as raw bytes."""
    if encoding in _FILES:
        return encode(cast(_Level, array), _FILES[encoding])
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _mask(shape: Pixels, hard: bool) -> Pixels:
    """The mask of rows of shape, as it is or cut at 1/2."""
    m = shape[..., :1]
    if not hard:
        return m
    highest = 255 if m.dtype == np.uint8 else 1
    cut = np.where(2 * m.astype(np.float32) >= highest, highest, 0)
    return cast(Pixels, cut.astype(m.dtype))


def _slack_bytes(row: Row, cached: bool) -> int:
    """What a factor may take more when it is asked for again, as a cache hit or with another drawn seed.

    Counted in, so that what is said to fit fits the next time too.
    """
    seed_bytes = 1 + _varint_bytes(row.seed) if row.seed else 0
    return 11 - seed_bytes + (0 if cached else 2)


def _varint_bytes(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)
