"""Iterates over long lists without blocking the event loop."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

_ITEMS = 256

T = TypeVar("T")


async def in_slices(items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """Yields the items in slices; between two slices the event loop runs other tasks."""
    for start in range(0, len(items), _ITEMS):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + _ITEMS]
