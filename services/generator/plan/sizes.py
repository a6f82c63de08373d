"""Sizes of responses. A message holds at most MAX_MESSAGE_BYTES; larger responses are refused early."""

import grpc

from cgn import noise
from cgn.card import ModelCard
from cgn.engine import Row
from cgn_api.v1 import generator_pb2 as pb
from services.errors import ApiError, invalid
from services.generator.plan.factors import MAX_MIXTURE_CLASSES
from services.generator.plan.plan import RAW_ITEM_BYTES, Plan, channels, needed_mechanisms
from services.limits import MAX_MESSAGE_BYTES

MAX_COMPOSITES = 4096  # of one message, even if compressed images are small
# Usual size of a streamed message: large enough for low overhead, small enough for low latency.
PART_BYTES = 1 << 20
_OVERHEAD_BYTES = 64 << 10  # of a batch: everything except pixels, labels and seeds
_SAMPLE_BYTES = 60  # for the labels and seeds of one sample
_FACTOR_BYTES = 1024  # upper bound of a factor in a response, without its class name


def check_composites(request: pb.GenerateRequest, plan: Plan) -> None:
    """Refuses composites that one response cannot hold, before rows are computed.

    Raw responses are checked exactly. Compressed ones are limited to MAX_COMPOSITES here, and checked again
    by `CompressedSize` as they grow.

    Args:
        request: the request.
        plan: plan of the request; it needs no composites yet.

    Raises:
        ApiError: INVALID_ARGUMENT (INVALID_FIELD), or RESPONSE_TOO_LARGE with the number that fits.
    """
    count = len(request.composites)
    if count > MAX_COMPOSITES:
        text = f"has {count} entries; give at most {MAX_COMPOSITES}, and request the rest separately"
        raise invalid("composites", text)
    if not plan.raw or _surely_fit(count, plan):
        return
    fit = _composites_that_fit(plan, _longest_factor(request, plan.card))
    if count > fit:
        images = f"{fit} composites ({fit * len(plan.outputs)} images)"
        text = f"at most {images} fit with these outputs and this encoding; request the rest separately"
        raise _too_large(count, text)


class CompressedSize:
    """Sums up the size of a compressed response, which is known only after encoding."""

    def __init__(self, response: pb.GenerateResponse, plan: Plan) -> None:
        """response: the response, still without results."""
        self._plan = plan
        self._bytes = response.ByteSize()

    def add(self, index: int, result: pb.CompositeResult, cached: set[Row]) -> None:
        """Adds the result of composite `index`.

        Raises:
            ApiError: RESPONSE_TOO_LARGE with the number of composites that fit.
        """
        plan = self._plan
        rows = [plan.rows[mechanism][picks[index]] for mechanism, picks in plan.picks.items()]
        length = result.ByteSize() + sum(_growth_bytes(row, row in cached) for row in rows)
        self._bytes += 1 + _varint_bytes(length) + length
        if self._bytes > MAX_MESSAGE_BYTES:
            fit = f"the first {index} of these composites ({index * len(plan.outputs)} images) fit"
            raise _too_large(plan.composites, f"{fit}; request the rest separately")


def usual_batch(plan: Plan) -> int:
    """Returns the number of images per output in a streamed message if the request does not set it.

    Raises:
        ApiError: RESPONSE_TOO_LARGE if a message cannot hold one image of each output.
    """
    return max(1, min(MAX_COMPOSITES, PART_BYTES // _image_bytes(plan)))


def largest_batch(plan: Plan) -> int:
    """Returns the number of raw images per output that a message can hold. Raises as `usual_batch`."""
    return min(MAX_COMPOSITES, (MAX_MESSAGE_BYTES - _OVERHEAD_BYTES) // (_image_bytes(plan) + _SAMPLE_BYTES))


def check_header(header: pb.ProductHeader) -> None:
    """Raises ApiError, INVALID_ARGUMENT, if the factors of a product's header do not fit into a message."""
    if header.ByteSize() > MAX_MESSAGE_BYTES:
        raise invalid(
            "shapes", "the factors of all mechanisms do not fit into one message; request fewer at once"
        )


def _image_bytes(plan: Plan) -> int:
    """Returns the bytes of one raw image of each output, an upper bound for files. Raises ApiError."""
    pixels = sum(plan.card.resolution**2 * channels(output) for output in plan.outputs)
    size = pixels * RAW_ITEM_BYTES.get(plan.encoding, 1)
    if size + _OVERHEAD_BYTES > MAX_MESSAGE_BYTES:
        text = f"need {size} bytes per image, but a message holds {MAX_MESSAGE_BYTES}; request fewer at once"
        raise invalid("outputs", text, "RESPONSE_TOO_LARGE")
    return size


def _too_large(requested: int, description: str) -> ApiError:
    """Returns the error for a response that would not fit into one message."""
    message = (
        f"composites: {requested} requested, but a response holds {MAX_MESSAGE_BYTES} bytes; {description}"
    )
    return ApiError(
        grpc.StatusCode.INVALID_ARGUMENT, "RESPONSE_TOO_LARGE", message, [("composites", description)]
    )


def _surely_fit(count: int, plan: Plan) -> bool:
    """Returns whether raw composites fit with any factors: a bound that is cheaper than the exact size."""
    pixels = plan.card.resolution**2 * sum(channels(output) for output in plan.outputs)
    factors = 4 * (_FACTOR_BYTES + max(len(name.encode()) for name in plan.card.class_names))
    return count * (pixels * RAW_ITEM_BYTES[plan.encoding] + factors) < MAX_MESSAGE_BYTES


def _longest_factor(request: pb.GenerateRequest, card: ModelCard) -> pb.ResolvedFactor:
    """Returns a factor at least as long as any factor in the response to this request."""
    longest = pb.ResolvedFactor(
        label_index=len(card.class_names) - 1,
        label_name=max(card.class_names, key=lambda name: len(name.encode())),
        seed=noise.MAX_SEED,
        cache_hit=True,
        truncation=1.0,
    )
    factors = [factor for c in request.composites for factor in (c.shape, c.texture, c.background)]
    if any(factor.HasField("mixture") for factor in factors):
        one = pb.WeightedClass(label_index=len(card.class_names) - 1, weight=1.0)
        longest.mixture.extend([one] * MAX_MIXTURE_CLASSES)
    if any(factor.HasField("way") for factor in factors):
        longest.way.MergeFrom(pb.Way(to_seed=noise.MAX_SEED, share=1.0, path=pb.PATH_SPHERICAL))
    return longest


def _composites_that_fit(plan: Plan, factor: pb.ResolvedFactor) -> int:
    """Returns how many composites a raw response can hold if no factor is longer than ``factor``."""
    card, size = plan.card, plan.card.resolution
    result = pb.CompositeResult(mu_mask=1.0)
    for mechanism in needed_mechanisms(plan.outputs):
        getattr(result, mechanism).CopyFrom(factor)
    for output in plan.outputs:
        result.images.add(
            output=output,
            data=bytes(size * size * channels(output) * RAW_ITEM_BYTES[plan.encoding]),
            height=size,
            width=size,
            channels=channels(output),
        )
    empty = pb.GenerateResponse(
        model=card.name, version=card.version, digest=card.digest, encoding=pb.ENCODING_RAW_FLOAT32
    )
    per_composite = pb.GenerateResponse(results=[result]).ByteSize()
    return (MAX_MESSAGE_BYTES - empty.ByteSize()) // per_composite


def _growth_bytes(row: Row, cached: bool) -> int:
    """Returns the bytes by which a factor may grow in a later response: by a cache hit or another drawn seed.

    They are included, so that the number of composites in the error also fits in the next request.
    """
    seed_bytes = 1 + _varint_bytes(row.seed) if row.seed else 0
    return 11 - seed_bytes + (0 if cached else 2)


def _varint_bytes(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)
