"""The row cache: mechanism rows in this process, then in Redis.

What is cached is a row as it is answered, uint8 or float32, never one made from the other, so a cached
answer equals the fresh one to the byte. Redis is a help and never a need: without it every answer is
the same, only slower.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from cgn.engine import Row
from common.metrics import GeneratorMetrics
from services.generator.rows.redis_tier import DType, Pixels, RedisTier
from services.generator.rows.slices import in_slices

Tier = Literal["memory", "redis"]

_ENTRY_OVERHEAD_BYTES = 300  # of a key, an array object and a dictionary entry


# A row is looked up and, when it has been computed, kept; or it is asked for again and again.
@lru_cache(maxsize=1 << 15)
def _key(row: Row, dtype: DType, computed_by: str) -> bytes:
    return row.key(dtype, computed_by)


class MemoryTier:
    """Least recently used rows of this process, bounded by bytes. For one thread."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._rows: OrderedDict[bytes, Pixels] = OrderedDict()
        self.bytes = 0

    def get(self, key: bytes) -> Pixels | None:
        """The row, now the most recently used; or None."""
        pixels = self._rows.get(key)
        if pixels is not None:
            self._rows.move_to_end(key)
        return pixels

    def put(self, key: bytes, pixels: Pixels) -> None:
        """Keeps the row, dropping the least recently used ones that no longer fit."""
        size = pixels.nbytes + _ENTRY_OVERHEAD_BYTES
        if key in self._rows or size > self._capacity:
            return
        self._rows[key] = pixels
        self.bytes += size
        while self.bytes > self._capacity:
            _, dropped = self._rows.popitem(last=False)
            self.bytes -= dropped.nbytes + _ENTRY_OVERHEAD_BYTES


class RowCache:
    """Both tiers, with their metrics. For the event loop's thread."""

    def __init__(
        self,
        memory_bytes: int,
        redis_url: str | None,
        ttl_seconds: int,
        computed_by: str,
        metrics: GeneratorMetrics,
    ) -> None:
        """computed_by: what rows depend on besides their cause: the device's type and the precision."""
        self._memory = MemoryTier(memory_bytes) if memory_bytes else None
        self._computed_by = computed_by
        self._redis = RedisTier(redis_url, ttl_seconds, metrics) if redis_url else None
        self._metrics = metrics
        if memory := self._memory:
            metrics.row_cache_bytes.set_function(lambda: memory.bytes)

    async def start(self) -> None:
        """Connects to Redis, if there is to be one and it is there."""
        if self._redis:
            await self._redis.start()

    async def close(self) -> None:
        if self._redis:
            await self._redis.close()

    async def get(
        self, rows: Sequence[Row], dtype: DType, within: float = math.inf
    ) -> dict[Row, tuple[Pixels, Tier]]:
        """The rows that are cached in this data type, and where each was found. Never raises for Redis.

        within: seconds that Redis may be waited for.
        """
        found: dict[Row, tuple[Pixels, Tier]] = {}
        if not (self._memory or self._redis):
            return found
        missing: dict[Row, bytes] = {}
        async for part in in_slices(rows):
            for row in part:
                key = missing[row] = _key(row, dtype, self._computed_by)
                if self._memory and (pixels := self._memory.get(key)) is not None:
                    found[row] = pixels, "memory"
        if self._memory:
            self._count("memory", missing, found)
            missing = {row: key for row, key in missing.items() if row not in found}
        if self._redis and missing:
            answers = await self._redis.get(list(missing.values()), dtype, within)
            if answers is not None:
                in_redis: dict[Row, tuple[Pixels, Tier]] = {}
                for (row, key), pixels in zip(missing.items(), answers, strict=True):
                    if pixels is not None:
                        in_redis[row] = pixels, "redis"
                        if self._memory:
                            self._memory.put(key, pixels)
                self._count("redis", missing, in_redis)
                found |= in_redis
            if self._memory:  # what another request has computed while Redis was asked
                for row, key in missing.items():
                    if row not in found and (late := self._memory.get(key)) is not None:
                        found[row] = late, "memory"
        return found

    def put(self, row: Row, pixels: Pixels) -> None:
        """Caches a computed row and makes its array read-only."""
        pixels.flags.writeable = False
        if not (self._memory or self._redis):
            return
        key = _key(row, "uint8" if pixels.dtype == np.uint8 else "float32", self._computed_by)
        if self._memory:
            self._memory.put(key, pixels)
        if self._redis:
            self._redis.put(key, pixels)

    def _count(self, tier: Tier, asked: dict[Row, bytes], found: dict[Row, tuple[Pixels, Tier]]) -> None:
        hits = Counter(row.mechanism for row in found)
        for mechanism, total in Counter(row.mechanism for row in asked).items():
            self._metrics.row_cache_hits.labels(mechanism, tier).inc(hits[mechanism])
            self._metrics.row_cache_misses.labels(mechanism, tier).inc(total - hits[mechanism])
