"""From rows to a GenerateResponse. Runs in a thread; on the event loop if the response is small and raw."""

from collections.abc import Sequence

from cgn.card import ModelCard
from cgn.engine import Row
from cgn_api.v1 import generator_pb2 as pb
from services.generator.answers.images import Images
from services.generator.answers.served_metrics import Mask
from services.generator.plan.plan import Plan, channels
from services.generator.plan.sizes import CompressedSize
from services.generator.rows.source import FetchedRows


def generate_response(plan: Plan, rows: FetchedRows, masks: Sequence[Mask]) -> pb.GenerateResponse:
    """The response to a plan.

    Args:
        plan: the plan.
        rows: every row of the plan.
        masks: measures of the plan's rows of shape, if it has any.

    Raises:
        ApiError: RESPONSE_TOO_LARGE with the number of composites that fit.
    """
    card, size = plan.card, plan.card.resolution
    response = pb.GenerateResponse(
        model=card.name, version=card.version, digest=card.digest, encoding=plan.encoding
    )
    # Composites share rows: the message of a row is made once, and copied.
    factors = {
        mechanism: [_resolved(row, card, row in rows.cached) for row in distinct]
        for mechanism, distinct in plan.rows.items()
    }
    pixels = {mechanism: [rows.pixels[row] for row in distinct] for mechanism, distinct in plan.rows.items()}
    images = Images(plan, pixels, plan.picks)
    compressed = None if plan.raw else CompressedSize(response, plan)  # raw ones were checked in the plan
    for block in images.blocks():
        outputs = [(output, channels(output), images.each(output, block)) for output in plan.outputs]
        for i in block:
            result = response.results.add()
            for mechanism, messages in factors.items():
                getattr(result, mechanism).CopyFrom(messages[plan.picks[mechanism][i]])
            if masks:
                result.mu_mask = masks[plan.picks["shape"][i]].mean
            for output, depth, data in outputs:
                result.images.add(
                    output=output, data=data[i - block.start], height=size, width=size, channels=depth
                )
            if compressed:
                compressed.add(i, result, rows.cached)
    return response


def _resolved(row: Row, card: ModelCard, cached: bool) -> pb.ResolvedFactor:
    """A row's factor as it was used."""
    factor = pb.ResolvedFactor()
    factor.seed, factor.cache_hit, factor.truncation = row.seed, cached, row.truncation
    if isinstance(row.label, int):
        factor.label_index, factor.label_name = row.label, card.class_names[row.label]
    else:
        for label, weight in row.label:
            factor.mixture.add(label_index=label, weight=weight)
    if interpolation := row.interpolation:
        path = pb.PATH_SPHERICAL if interpolation.path == "spherical" else pb.PATH_LINEAR
        factor.way.MergeFrom(pb.Way(to_seed=interpolation.to_seed, share=interpolation.t, path=path))
    return factor
