"""The row cache: mechanism rows in this process, then in Redis.

A row is cached as it is served, uint8 or float32, and never converted from the other type: so a cached
answer equals the fresh one to the byte. Redis is optional: without it every answer is the same, only slower.
"""

import hashlib
import json
import math
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import astuple
from functools import lru_cache
from typing import Literal

import numpy as np
import torch

from cgn.engine import Row
from cgn.engine.rows import ROW_SCHEMA
from common.metrics import GeneratorMetrics
from services.generator.plan.types import DType, Pixels
from services.generator.rows.redis_tier import RedisTier
from services.generator.rows.slices import in_slices

Tier = Literal["memory", "redis"]

_ENTRY_OVERHEAD_BYTES = 300  # of a key, an array object and a dictionary entry
# Another build or instruction set may round differently, by a level or in the last bit of a float.
_BUILD = f"{torch.__version__}|{torch.backends.cpu.get_cpu_capability()}"


def row_key(row: Row, dtype: DType, computed_by: str) -> bytes:
    """Returns the canonical 16-byte name of a row's pixels, for caches that outlive this process.

    Args:
        row: the row.
        dtype: data type of the cached pixels.
        computed_by: type of the device and precision, such as ``"cpu float32"``.
    """
    if isinstance(row.label, int) and row.interpolation is None and row.truncation == 1:
        factor = f"[{row.label}, {row.seed}, null, 1.0]"  # the same text as below, for most rows
    else:
        # JSON writes a float as the shortest text that reads back as it, so one text means one value.
        interpolation = row.interpolation and astuple(row.interpolation)
        factor = json.dumps([row.label, row.seed, interpolation, row.truncation])
    text = f"{ROW_SCHEMA}|{_BUILD}|{computed_by}|{row.digest}|{row.mechanism}|{dtype}|{factor}"
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


# A row is looked up, and stored once it is computed; popular rows are looked up again and again.
_cached_key = lru_cache(maxsize=1 << 15)(row_key)


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
        """Stores the row, and drops the least recently used rows that no longer fit."""
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
        """computed_by: what rows depend on besides their factor: the device's type and the precision."""
        self._memory = MemoryTier(memory_bytes) if memory_bytes else None
        self._computed_by = computed_by
        self._redis = RedisTier(redis_url, ttl_seconds, metrics) if redis_url else None
        self._metrics = metrics
        if memory := self._memory:
            metrics.row_cache_bytes.set_function(lambda: memory.bytes)

    async def start(self) -> None:
        """Connects to Redis, if it is configured and reachable."""
        if self._redis:
            await self._redis.start()

    async def close(self) -> None:
        """Writes the rows that wait for Redis, and disconnects."""
        if self._redis:
            await self._redis.close()

    async def get(
        self, rows: Sequence[Row], dtype: DType, timeout: float = math.inf
    ) -> dict[Row, tuple[Pixels, Tier]]:
        """The rows that are cached in this data type, and the tier of each. Redis failures are not raised.

        timeout: seconds that Redis may take.
        """
        hits: dict[Row, tuple[Pixels, Tier]] = {}
        if not (self._memory or self._redis):
            return hits
        missing: dict[Row, bytes] = {}
        async for part in in_slices(rows):
            for row in part:
                key = missing[row] = _cached_key(row, dtype, self._computed_by)
                if self._memory and (pixels := self._memory.get(key)) is not None:
                    hits[row] = pixels, "memory"
        if self._memory:
            self._count("memory", missing, hits)
            missing = {row: key for row, key in missing.items() if row not in hits}
        if self._redis and missing:
            values = await self._redis.get(list(missing.values()), dtype, timeout)
            if values is not None:
                in_redis: dict[Row, tuple[Pixels, Tier]] = {}
                for (row, key), pixels in zip(missing.items(), values, strict=True):
                    if pixels is not None:
                        in_redis[row] = pixels, "redis"
                        if self._memory:
                            self._memory.put(key, pixels)
                self._count("redis", missing, in_redis)
                hits |= in_redis
            if self._memory:  # another request may have computed a row while Redis was asked
                for row, key in missing.items():
                    if row not in hits and (late := self._memory.get(key)) is not None:
                        hits[row] = late, "memory"
        return hits

    def put(self, row: Row, pixels: Pixels) -> None:
        """Caches a computed row and makes its array read-only."""
        pixels.flags.writeable = False
        if not (self._memory or self._redis):
            return
        key = _cached_key(row, "uint8" if pixels.dtype == np.uint8 else "float32", self._computed_by)
        if self._memory:
            self._memory.put(key, pixels)
        if self._redis:
            self._redis.put(key, pixels)

    def _count(self, tier: Tier, requested: dict[Row, bytes], hits: dict[Row, tuple[Pixels, Tier]]) -> None:
        hit_counts = Counter(row.mechanism for row in hits)
        for mechanism, total in Counter(row.mechanism for row in requested).items():
            self._metrics.row_cache_hits.labels(mechanism, tier).inc(hit_counts[mechanism])
            self._metrics.row_cache_misses.labels(mechanism, tier).inc(total - hit_counts[mechanism])
