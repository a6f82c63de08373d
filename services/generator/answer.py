"""From rows to a GenerateResponse: compose, encode, measure. Runs in a thread, not on the event loop."""

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cgn.collapse import border_mass, soft_share
from cgn.composer import compose
from cgn.engine import Row
from cgn.noise import Mechanism
from cgn.pixels import ImageFormat, compose_uint8, encode
from cgn_api.v1 import generator_pb2 as pb
from services.generator.row_cache import Pixels
from services.generator.validate import NEEDS, Plan, too_large
from services.grpc_server import MAX_MESSAGE_BYTES

_FILES: dict[int, ImageFormat] = {
    pb.ENCODING_PNG: "png",
    pb.ENCODING_JPEG: "jpeg",
    pb.ENCODING_WEBP: "webp",
}


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
    # Composites share rows; each distinct output is composed and encoded once.
    images: dict[tuple[int, tuple[Row, ...]], pb.Image] = {}
    mu_masks: dict[Row, float] = {}
    for i, rows in enumerate(plan.composites):
        result = response.results.add()
        for mechanism, row in rows.items():
            resolved: pb.ResolvedFactor = getattr(result, mechanism)
            resolved.MergeFrom(pb.ResolvedFactor(seed=row.seed, cache_hit=row in cached))
            if isinstance(row.label, int):
                resolved.label_index, resolved.label_name = row.label, card.class_names[row.label]
        if shape := rows.get("shape"):
            if shape not in mu_masks:
                mu_masks[shape] = mu_mask(pixels[shape])
            result.mu_mask = mu_masks[shape]
        for output in plan.outputs:
            parts = tuple(rows[mechanism] for mechanism in NEEDS[output])
            if (output, parts) not in images:
                images[output, parts] = _image(output, plan.encoding, rows, pixels)
            result.images.append(images[output, parts])
        if plan.encoding in _FILES:  # a raw answer was measured before any work
            size = result.ByteSize() + sum(_slack_bytes(row, row in cached) for row in rows.values())
            total += 1 + _varint_bytes(size) + size
            if total > MAX_MESSAGE_BYTES:
                fit = f"the first {i} of these composites ({i * len(plan.outputs)} images) fit"
                raise too_large(len(plan.composites), f"{fit}; ask for the rest separately")
    return response


def mu_mask(mask: Pixels) -> float:
    """Mean mask value, 0 to 1, of a uint8 or float32 mask."""
    mean = float(mask.mean(dtype=np.float64))
    return mean / 255.0 if mask.dtype == np.uint8 else mean


def border_and_soft(mask: Pixels) -> tuple[float, float]:
    """Border mass and soft-pixel share (cgn.collapse), each 0 to 1, of a uint8 or float32 mask (H, W, 1)."""
    m = mask[:, :, 0].astype(np.float32)
    if mask.dtype == np.uint8:
        m /= 255
    return float(border_mass(m)), float(soft_share(m))


def _image(
    output: pb.Output, encoding: int, rows: Mapping[Mechanism, Row], pixels: Mapping[Row, Pixels]
) -> pb.Image:
    parts = [pixels[rows[mechanism]] for mechanism in NEEDS[output]]
    if output != pb.OUTPUT_COMPOSITE:
        array = parts[0]
    elif encoding == pb.ENCODING_RAW_FLOAT32:
        m, f, b = cast(list[NDArray[np.float32]], parts)
        array = compose(m, f, b)
    else:
        array = compose_uint8(*cast(list[NDArray[np.uint8]], parts))
    if encoding in _FILES:
        data = encode(cast(NDArray[np.uint8], array), _FILES[encoding])
    else:
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    height, width, channels = array.shape
    return pb.Image(output=output, data=data, height=height, width=width, channels=channels)


def _slack_bytes(row: Row, cached: bool) -> int:
    """What a factor may take more when it is asked for again, as a cache hit or with another drawn seed.

    Counted in, so that what is said to fit fits the next time too.
    """
    seed_bytes = 1 + _varint_bytes(row.seed) if row.seed else 0
    return 11 - seed_bytes + (0 if cached else 2)


def _varint_bytes(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)
