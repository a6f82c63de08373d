"""From rows to batches of images, as products and samples send them. Runs in a thread."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from cgn.engine import Row
from cgn.images.jitter import jitter_shapes, shades
from cgn.noise import Mechanism
from cgn.sampling.sampler import Numbers
from cgn_api.v1 import generator_pb2 as pb
from services.generator.answers.images import Images
from services.generator.answers.served_metrics import Mask
from services.generator.plan.plan import Plan, channels
from services.generator.plan.sample import BatchPlan
from services.generator.plan.types import Pixels
from services.generator.rows.source import FetchedRows


def product_chunk(start: int, plan: Plan, rows: FetchedRows, masks: Sequence[Mask]) -> pb.ProductChunk:
    """The chunk of a product that begins at combination `start`."""
    return pb.ProductChunk(
        start=start,
        count=plan.composites,
        mu_mask=[masks[pick].mean for pick in plan.picks.get("shape", ())],
        images=image_batches(plan, rows.pixels),
    )


def sample_batch(batch: BatchPlan, plan: Plan, rows: FetchedRows, masks: Sequence[Mask]) -> pb.SampleBatch:
    """A batch of samples: its message with the images added."""
    batch.message.images.extend(image_batches(plan, rows.pixels, batch.jitter))
    return batch.message


def image_batches(
    plan: Plan, pixels: Mapping[Row, Pixels], jitter: Mapping[Mechanism, Numbers] | None = None
) -> list[pb.ImageBatch]:
    """The images of a plan, one batch for each of its outputs.

    Args:
        plan: the plan.
        pixels: every row of the plan, in the plan's data type.
        jitter: numbers for every composite (cgn.images.jitter), by mechanism; for uint8 rows only.
    """
    rows: dict[Mechanism, Sequence[Pixels]] = {
        mechanism: [pixels[row] for row in distinct] for mechanism, distinct in plan.rows.items()
    }
    picks: dict[Mechanism, Sequence[int]] = dict(plan.picks)
    for mechanism, numbers in (jitter or {}).items():
        if mechanism in rows:  # a jittered row belongs to one composite alone
            stacked = cast(Pixels, np.stack([rows[mechanism][pick] for pick in picks[mechanism]]))
            rows[mechanism] = list(_jittered(mechanism, stacked, numbers))
            picks[mechanism] = range(plan.composites)
    images = Images(plan, rows, picks)
    return [_batch(output, plan, images) for output in plan.outputs]


def _batch(output: pb.Output, plan: Plan, images: Images) -> pb.ImageBatch:
    size = plan.card.resolution
    batch = pb.ImageBatch(output=output, height=size, width=size, channels=channels(output))
    if plan.raw:
        batch.data = images.raw(output, range(plan.composites))  # a message is small enough to draw at once
    else:
        for block in images.blocks():
            batch.files.extend(images.files(output, block))
    return batch


def _jittered(mechanism: Mechanism, rows: Pixels, numbers: Numbers) -> NDArray[np.uint8]:
    """Rows (N, H, W, channels) of uint8, each slightly changed (cgn.images.jitter)."""
    levels_NCHW = torch.from_numpy(rows).permute(0, 3, 1, 2).float()
    if mechanism == "shape":
        levels_NCHW = 255 * jitter_shapes(levels_NCHW[:, :1] / 255, torch.from_numpy(numbers))
    else:
        levels_NCHW += 127.5 * shades(torch.from_numpy(numbers))
    levels_NCHW = levels_NCHW.round_().clamp_(0, 255).to(torch.uint8)
    changed: NDArray[np.uint8] = levels_NCHW.permute(0, 2, 3, 1).contiguous().numpy()
    return changed
