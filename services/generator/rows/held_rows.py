"""Rows that a stream holds because it needs them again."""

from collections.abc import Mapping, Sequence

from cgn.engine import Row
from services.generator.plan.types import Pixels

_MAX_BYTES = 64 << 20  # for one stream


class HeldRows:
    """The first rows of a product, up to 64 MiB: its chunks need the same rows in turns."""

    def __init__(self) -> None:
        self._pixels: dict[Row, Pixels] = {}
        self._bytes = 0

    def missing(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that are not held."""
        return [row for row in rows if row not in self._pixels]

    def merge(self, rows: Sequence[Row], fetched: Mapping[Row, Pixels]) -> dict[Row, Pixels]:
        """The pixels of all `rows`, held or just fetched. Fetched rows are held from now on if they fit."""
        pixels = {row: fetched[row] if row in fetched else self._pixels[row] for row in rows}
        for row, array in fetched.items():
            if self._bytes + array.nbytes <= _MAX_BYTES:
                self._pixels[row] = array
                self._bytes += array.nbytes
        return pixels
