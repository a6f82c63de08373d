"""Draws the images of a plan from its rows and writes them. Runs in a thread, not on the event loop."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cgn.composer import compose
from cgn.images.pixels import ImageFormat, compose_uint8, encode
from cgn.noise import Mechanism
from cgn_api.v1 import generator_pb2 as pb
from services.generator.plan.plan import NEEDS, Plan
from services.generator.plan.types import Pixels

_FORMATS: dict[int, ImageFormat] = {
    pb.ENCODING_PNG: "png",
    pb.ENCODING_JPEG: "jpeg",
    pb.ENCODING_WEBP: "webp",
}
_PIXELS_AT_ONCE = 1 << 16  # of composites that are drawn together: their arrays stay in the processor's cache
_STACKED_BYTES = 4 << 20  # rows of a mechanism that are copied into one array; more would double the memory

# For casts: written inside a function, these types would be built again in every call.
_Levels = NDArray[np.uint8]
_ListOfLevels = list[_Levels]
_ListOfFloats = list[NDArray[np.float32]]


class Images:
    """The images of a plan's composites, drawn block by block.

    Args:
        plan: the plan.
        rows: pixels of each mechanism's rows, (H, W, channels) each, in the plan's data type.
        picks: for every mechanism, the index in `rows` of each composite's row.
    """

    def __init__(
        self,
        plan: Plan,
        rows: Mapping[Mechanism, Sequence[Pixels]],
        picks: Mapping[Mechanism, Sequence[int]],
    ) -> None:
        self._plan = plan
        self._rows = rows
        self._picks = {mechanism: np.asarray(row_of_each) for mechanism, row_of_each in picks.items()}
        self._stacks = {
            mechanism: np.stack(arrays)
            for mechanism, arrays in rows.items()
            if len(arrays) * arrays[0].nbytes <= _STACKED_BYTES
        }
        # By output and rows, so that a file is encoded once however many composites share it.
        self._files: dict[tuple[int, ...], bytes] = {}

    def blocks(self) -> Iterator[range]:
        """The composites in blocks that are drawn together."""
        count = self._plan.composites
        step = max(1, _PIXELS_AT_ONCE // self._plan.card.resolution**2)
        for start in range(0, count, step):
            yield range(start, min(start + step, count))

    def raw(self, output: pb.Output, block: range) -> bytes:
        """One output of a block of composites as raw bytes, back to back."""
        drawn = self._draw(output, block)
        return drawn.astype(drawn.dtype.newbyteorder("<"), copy=False).tobytes()

    def files(self, output: pb.Output, block: range) -> list[bytes]:
        """One output of a block of composites as one file for each."""
        picks = [self._picks[mechanism][block.start : block.stop].tolist() for mechanism in NEEDS[output]]
        keys = [(output, *rows) for rows in zip(*picks, strict=True)]
        for key, image in zip(keys, self._draw(output, block), strict=True):
            if key not in self._files:
                self._files[key] = encode(cast(_Levels, image), _FORMATS[self._plan.encoding])
        return [self._files[key] for key in keys]

    def each(self, output: pb.Output, block: range) -> list[bytes]:
        """One output of a block of composites in the plan's encoding: the bytes of each image."""
        if not self._plan.raw:
            return self.files(output, block)
        data = self.raw(output, block)
        size = len(data) // len(block)
        return [data[start : start + size] for start in range(0, len(data), size)]

    def _draw(self, output: pb.Output, block: range) -> Pixels:
        """One output of a block of composites, (N, H, W, channels)."""
        parts = [self._gather(mechanism, block) for mechanism in NEEDS[output]]
        if output == pb.OUTPUT_PRE_MASK:
            return parts[0][..., 1:]
        if "shape" in NEEDS[output]:
            parts[0] = _mask(parts[0], self._plan.hard_mask)
        if output != pb.OUTPUT_COMPOSITE:
            return parts[0]
        if self._plan.encoding == pb.ENCODING_RAW_FLOAT32:
            m, f, b = cast(_ListOfFloats, parts)
            return compose(m, f, b)
        return compose_uint8(*cast(_ListOfLevels, parts))

    def _gather(self, mechanism: Mechanism, block: range) -> Pixels:
        """The rows of a block's composites, (N, H, W, channels)."""
        picks = self._picks[mechanism][block.start : block.stop]
        if mechanism in self._stacks:
            return cast(Pixels, self._stacks[mechanism].take(picks, 0))
        return cast(Pixels, np.stack([self._rows[mechanism][pick] for pick in picks.tolist()]))


def _mask(shape: Pixels, hard: bool) -> Pixels:
    """The mask of rows of shape, (..., H, W, 1): soft, or thresholded at 1/2."""
    m = shape[..., :1]
    if not hard:
        return m
    highest = 255 if m.dtype == np.uint8 else 1
    thresholded = np.where(2 * m.astype(np.float32) >= highest, highest, 0)
    return cast(Pixels, thresholded.astype(m.dtype))
