"""From rows to a GenerateResponse: compose, encode, measure. Runs in a thread, not on the event loop."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cgn.card import ModelCard
from cgn.composer import compose
from cgn.engine import Row
from cgn.noise import Mechanism
from cgn.pixels import ImageFormat, compose_uint8, encode
from cgn_api.v1 import generator_pb2 as pb
from services.generator.redis_tier import Pixels
from services.generator.validate import NEEDS, Plan, too_large
from services.grpc_server import MAX_MESSAGE_BYTES

_FILES: dict[int, ImageFormat] = {
    pb.ENCODING_PNG: "png",
    pb.ENCODING_JPEG: "jpeg",
    pb.ENCODING_WEBP: "webp",
}
_PIXELS_AT_ONCE = 1 << 16  # of composites that are drawn together: their maps stay in the processor's cache

_Drawing = tuple[pb.Output, tuple[Row, ...]]  # an output and the rows that it is made from
# For casts: written where they stand, types would be made anew in every call.
_Level = NDArray[np.uint8]
_Levels = list[_Level]
_Floats = list[NDArray[np.float32]]


def answer(plan: Plan, pixels: Mapping[Row, Pixels], cached: set[Row]) -> pb.GenerateResponse:
    """The response to a plan.

    pixels: every row of the plan, in the plan's data type. cached: those that no forward pass was run
    for.

    Raises:
        ApiError: RESPONSE_TOO_LARGE with the number of composites that fit.
    """
    card = plan.card
    response = pb.GenerateResponse(
        model=card.name, version=card.version, digest=card.digest, encoding=plan.encoding
    )
    total = response.ByteSize()
    mu_masks = mu_masks_of([rows["shape"] for rows in plan.composites if "shape" in rows], pixels)
    # Composites share rows; each distinct output is composed and encoded once.
    images: dict[_Drawing, pb.Image] = {}
    step = max(1, _PIXELS_AT_ONCE // card.resolution**2)
    for i, rows in enumerate(plan.composites):
        if not i % step:
            images |= _images(plan, plan.composites[i : i + step], pixels, images)
        result = response.results.add()
        for mechanism, row in rows.items():
            _resolve(getattr(result, mechanism), row, card, row in cached)
        if shape := rows.get("shape"):
            result.mu_mask = mu_masks[shape]
        result.images.extend(images[drawing] for drawing in _drawings(plan, rows))
        if plan.encoding in _FILES:  # a raw answer was measured before any work
            size = result.ByteSize() + sum(_slack_bytes(row, row in cached) for row in rows.values())
            total += 1 + _varint_bytes(size) + size
            if total > MAX_MESSAGE_BYTES:
                fit = f"the first {i} of these composites ({i * len(plan.outputs)} images) fit"
                raise too_large(len(plan.composites), f"{fit}; ask for the rest separately")
    return response


def mu_masks_of(shapes: Iterable[Row], pixels: Mapping[Row, Pixels]) -> dict[Row, float]:
    """Mean mask value, 0 to 1, of each distinct row of shape, uint8 or float32."""
    distinct = list(dict.fromkeys(shapes))
    if not distinct:
        return {}
    m_NHW = np.stack([pixels[row][:, :, 0] for row in distinct])
    means = m_NHW.mean(axis=(1, 2), dtype=np.float64)
    return dict(zip(distinct, (means / 255.0 if m_NHW.dtype == np.uint8 else means).tolist(), strict=True))


def _resolve(told: pb.ResolvedFactor, row: Row, card: ModelCard, cached: bool) -> None:
    """Tells a factor as it was used."""
    told.seed, told.cache_hit, told.truncation = row.seed, cached, row.truncation
    if isinstance(row.label, int):
        told.label_index, told.label_name = row.label, card.class_names[row.label]
    else:
        for label, weight in row.label:
            told.mixture.add(label_index=label, weight=weight)
    if row.way:
        path = pb.PATH_SPHERICAL if row.way.path == "spherical" else pb.PATH_LINEAR
        told.way.MergeFrom(pb.Way(to_seed=row.way.to, share=row.way.share, path=path))


def _drawings(plan: Plan, rows: Mapping[Mechanism, Row]) -> list[_Drawing]:
    """The outputs of one composite."""
    return [(output, tuple([rows[mechanism] for mechanism in NEEDS[output]])) for output in plan.outputs]


def _images(
    plan: Plan,
    composites: Sequence[Mapping[Mechanism, Row]],
    pixels: Mapping[Row, Pixels],
    known: Collection[_Drawing],
) -> dict[_Drawing, pb.Image]:
    """The outputs of some composites that are not known yet, those of a kind drawn together."""
    wanted: dict[int, dict[_Drawing, None]] = {}
    for rows in composites:
        for drawing in _drawings(plan, rows):
            if drawing not in known:
                wanted.setdefault(drawing[0], {})[drawing] = None
    images: dict[_Drawing, pb.Image] = {}
    for output, drawings in wanted.items():
        columns = zip(*(parts for _, parts in drawings), strict=True)
        stacks = [cast(Pixels, np.stack([pixels[row] for row in rows])) for rows in columns]
        arrays = draw(output, plan, stacks)
        _, height, width, channels = arrays.shape
        for drawing, array in zip(drawings, arrays, strict=True):
            data = written(array, plan.encoding)
            images[drawing] = pb.Image(
                output=drawing[0], data=data, height=height, width=width, channels=channels
            )
    return images


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
