"""Long lists without holding up the event loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

_ITEMS = 256

T = TypeVar("T")


async def in_slices(items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """The items in slices; between two of them the event loop serves others."""
    for start in range(0, len(items), _ITEMS):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + _ITEMS]
