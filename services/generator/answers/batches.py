"""From rows to batches of images, as streams send them: composed by the batch. Runs in a thread."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from cgn.engine import Row
from cgn.images.jitter import jitter_shapes, shades
from cgn.noise import Mechanism
from cgn.sampling.sampler import Numbers
from cgn_api.v1 import generator_pb2 as pb
from services.errors import invalid
from services.generator.answers.composites import draw, written
from services.generator.plan.generate import MAX_COMPOSITES, NEEDS, RAW_ITEM_BYTES, Plan, channels
from services.generator.rows.redis_tier import Pixels
from services.grpc_server import MAX_MESSAGE_BYTES

_WANTED_BYTES = 1 << 20  # of a message: large enough to cost little, small enough to come soon
_SLACK_BYTES = 64 << 10  # of a message, for all but pixels


def image_bytes(plan: Plan) -> int:
    """Bytes of all outputs of one image, raw; compressed ones are taken to need as much.

    Raises:
        ApiError: a message cannot hold one image.
    """
    pixels = sum(plan.card.resolution**2 * channels(output) for output in plan.outputs)
    size = pixels * RAW_ITEM_BYTES.get(plan.encoding, 1)
    if size + _SLACK_BYTES > MAX_MESSAGE_BYTES:
        text = f"take {size} bytes an image, and a message {MAX_MESSAGE_BYTES}; ask for fewer at once"
        raise invalid("outputs", text, "RESPONSE_TOO_LARGE")
    return size


def usual_batch(plan: Plan) -> int:
    """Images of a message, if nobody has asked for another number. Raises ApiError as `image_bytes`."""
    return max(1, min(MAX_COMPOSITES, _WANTED_BYTES // image_bytes(plan)))


def largest_batch(plan: Plan) -> int:
    """Images that a message can hold, raw. Raises ApiError as `image_bytes`."""
    # Labels and seeds take up to 60 bytes a sample.
    return min(MAX_COMPOSITES, (MAX_MESSAGE_BYTES - _SLACK_BYTES) // (image_bytes(plan) + 60))


def image_batches(
    plan: Plan, pixels: Mapping[Row, Pixels], jitter: Mapping[Mechanism, Numbers] | None = None
) -> list[pb.ImageBatch]:
    """The images of a plan, a batch for each of its outputs.

    pixels: every row of the plan, in the plan's data type. jitter: numbers for every image, where its rows
    are to be changed a little; of uint8 rows only.
    """
    stacks = {
        mechanism: cast(Pixels, np.stack([pixels[row] for row in rows]))
        for mechanism, rows in plan.rows.items()
    }
    picks = {mechanism: np.array(of_each) for mechanism, of_each in plan.picks.items()}
    if jitter:
        for mechanism, numbers in jitter.items():
            if mechanism in stacks:
                stacks[mechanism] = _jittered(mechanism, stacks[mechanism][picks[mechanism]], numbers)
                picks[mechanism] = np.arange(plan.composites)
    return [_batch(output, plan, stacks, picks) for output in plan.outputs]


def _batch(
    output: pb.Output,
    plan: Plan,
    stacks: Mapping[Mechanism, Pixels],
    picks: Mapping[Mechanism, NDArray[np.int64]],
) -> pb.ImageBatch:
    needs = NEEDS[output]
    if len(needs) == 1:  # images may share a row, which is drawn and written once
        drawn, pick = draw(output, plan, [stacks[needs[0]]]), picks[needs[0]]
    else:
        drawn = draw(output, plan, [stacks[mechanism][picks[mechanism]] for mechanism in needs])
        pick = np.arange(len(drawn))
    _, height, width, depth = drawn.shape
    batch = pb.ImageBatch(output=output, height=height, width=width, channels=depth)
    if plan.encoding in RAW_ITEM_BYTES:
        batch.data = written(drawn[pick] if len(needs) == 1 else drawn, plan.encoding)
    else:
        files = [written(image, plan.encoding) for image in drawn]
        batch.files.extend(files[i] for i in pick)
    return batch


def _jittered(mechanism: Mechanism, rows: Pixels, numbers: Numbers) -> Pixels:
    """Rows (N, H, W, channels) of uint8, each changed a little (cgn.images.jitter)."""
    levels_NCHW = torch.from_numpy(rows).permute(0, 3, 1, 2).float()
    if mechanism == "shape":
        levels_NCHW = 255 * jitter_shapes(levels_NCHW[:, :1] / 255, torch.from_numpy(numbers))
    else:
        levels_NCHW += 127.5 * shades(torch.from_numpy(numbers))
    levels_NCHW = levels_NCHW.round_().clamp_(0, 255).to(torch.uint8)
    changed: NDArray[np.uint8] = levels_NCHW.permute(0, 2, 3, 1).contiguous().numpy()
    return changed
