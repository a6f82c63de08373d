"""The row cache: mechanism rows in this process, then in Redis.

What is cached is a row as it is answered, uint8 or float32, never one made from the other, so a cached
answer equals the fresh one to the byte. Redis is a help and never a need: without it every answer is
the same, only slower.
"""

import asyncio
import contextlib
import logging
import math
import struct
import zlib
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from redis.exceptions import RedisError

from cgn.engine import Row
from common.metrics import GeneratorMetrics
from common.redis import async_client
from services.generator.slices import in_slices

DType = Literal["uint8", "float32"]
Tier = Literal["memory", "redis"]
Pixels = NDArray[np.uint8] | NDArray[np.float32]

KEY_PREFIX = b"cgn:row:"
# A value in Redis: magic and version, itemsize, height, width, channels; CRC-32 of key, head and data;
# then the pixels, row-major HWC, little-endian. Raise the version when this changes.
_HEAD = struct.Struct("<4sBHHB")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"CGN1"
_WIRE_TYPES: dict[DType, np.dtype[Any]] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}

_KEYS_PER_COMMAND = 256
_OPERATION_SECONDS = 1.0
_RECONNECT_SECONDS = 1.0
_MOST_QUEUED_WRITES = 8192
_ENTRY_OVERHEAD_BYTES = 300  # of a key, an array object and a dictionary entry

_REDIS_FAILURES = (RedisError, OSError, TimeoutError)

log = logging.getLogger(__name__)


def pack(key: bytes, pixels: Pixels) -> bytes:
    """The Redis value of a row; pixels is HWC, uint8 or float32."""
    head = _HEAD.pack(_MAGIC, pixels.itemsize, *pixels.shape)
    data = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    return head + _CHECKSUM.pack(zlib.crc32(data, zlib.crc32(key + head))) + data


def unpack(key: bytes, value: bytes, dtype: DType) -> Pixels | None:
    """The row of a Redis value, read-only; None if the value is damaged, foreign or of another key."""
    start = _HEAD.size + _CHECKSUM.size
    if len(value) < start:
        return None
    data = memoryview(value)[start:]
    (checksum,) = _CHECKSUM.unpack_from(value, _HEAD.size)
    if zlib.crc32(data, zlib.crc32(key + value[: _HEAD.size])) != checksum:
        return None
    magic, itemsize, *shape = _HEAD.unpack_from(value)
    wire_type = _WIRE_TYPES[dtype]
    if magic != _MAGIC or itemsize != wire_type.itemsize or len(data) != math.prod(shape) * itemsize:
        return None
    pixels: Pixels = np.frombuffer(data, wire_type).reshape(shape)
    return pixels


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


class RedisTier:
    """Rows in Redis, shared by generators and their restarts.

    A command is awaited for at most a second; writes go through a bounded queue and are dropped when
    it is full. After a failure Redis is left alone, so that no request waits for it, until a PING in
    the background succeeds.
    """

    def __init__(self, url: str, ttl_seconds: int, metrics: GeneratorMetrics) -> None:
        self._redis = async_client(
            url,
            decode_responses=False,
            socket_timeout=_OPERATION_SECONDS,
            socket_connect_timeout=_OPERATION_SECONDS,
        )
        self._ttl = ttl_seconds
        self._errors = metrics.row_cache_errors.labels("redis")
        self._up = False
        self._said_down = False
        self._went_down = asyncio.Event()
        self._writes: asyncio.Queue[tuple[bytes, Pixels]] = asyncio.Queue(_MOST_QUEUED_WRITES)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connects, or finds out that Redis is absent, and begins to write and to watch."""
        await self._ping()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._write())]

    async def close(self) -> None:
        """Writes what is queued, for at most a second, and disconnects."""
        if self._up:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._writes.join(), 1.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(*_REDIS_FAILURES):
            await self._redis.aclose()

    async def get(self, keys: Sequence[bytes], dtype: DType) -> list[Pixels | None] | None:
        """The rows that Redis has, None for each it has not; None for all if Redis cannot be asked."""
        if not self._up:
            return None
        found: list[Pixels | None] = []
        try:
            for start in range(0, len(keys), _KEYS_PER_COMMAND):
                part = keys[start : start + _KEYS_PER_COMMAND]
                async with asyncio.timeout(_OPERATION_SECONDS):
                    values: list[Any] = await self._redis.mget([KEY_PREFIX + key for key in part])
                found += [self._checked(key, value, dtype) for key, value in zip(part, values, strict=True)]
        except _REDIS_FAILURES as error:
            await self._fail(error)
            return None
        return found

    def put(self, key: bytes, pixels: Pixels) -> None:
        """Queues a row to be written; drops it if Redis is down or the queue is full."""
        if not self._up:
            return
        try:
            self._writes.put_nowait((key, pixels))
        except asyncio.QueueFull:
            self._errors.inc()

    def _checked(self, key: bytes, value: bytes | None, dtype: DType) -> Pixels | None:
        if value is None:
            return None
        pixels = unpack(key, value, dtype)
        if pixels is None:
            self._errors.inc()
        return pixels

    async def _write(self) -> None:
        while True:
            batch = [await self._writes.get()]
            while len(batch) < _KEYS_PER_COMMAND and not self._writes.empty():
                batch.append(self._writes.get_nowait())
            try:
                if self._up:
                    await self._write_batch(batch)
            finally:
                for _ in batch:
                    self._writes.task_done()

    async def _write_batch(self, batch: list[tuple[bytes, Pixels]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, pixels in batch:
            pipeline.set(KEY_PREFIX + key, pack(key, pixels), ex=self._ttl)
        try:
            async with asyncio.timeout(_OPERATION_SECONDS):
                answers = await pipeline.execute(raise_on_error=False)
        except _REDIS_FAILURES as error:
            await self._fail(error)
            return
        self._errors.inc(sum(isinstance(answer, Exception) for answer in answers))

    async def _watch(self) -> None:
        while True:
            await self._went_down.wait()
            await asyncio.sleep(_RECONNECT_SECONDS)
            await self._ping()

    async def _ping(self) -> None:
        try:
            async with asyncio.timeout(_OPERATION_SECONDS):
                await self._redis.ping()
        except _REDIS_FAILURES as error:
            await self._fail(error)
            return
        self._up = True
        self._said_down = False
        self._went_down.clear()
        log.info("row cache in Redis is up")

    async def _fail(self, error: BaseException) -> None:
        self._errors.inc()
        self._up = False
        self._went_down.set()
        if not self._said_down:
            self._said_down = True
            reason = f"{type(error).__name__}: {error}"
            log.warning("row cache in Redis is down; serving without it", extra={"reason": reason})
        # Idle connections may lead to the Redis that died.
        with contextlib.suppress(*_REDIS_FAILURES):
            await self._redis.connection_pool.disconnect(inuse_connections=False)


class RowCache:
    """Both tiers, with their metrics. For the event loop's thread."""

    def __init__(
        self,
        memory_bytes: int,
        redis_url: str | None,
        ttl_seconds: int,
        device: str,
        metrics: GeneratorMetrics,
    ) -> None:
        """device: type of the device that computes the rows, "cpu" or "cuda"."""
        self._memory = MemoryTier(memory_bytes) if memory_bytes else None
        self._device = device
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

    async def get(self, rows: Sequence[Row], dtype: DType) -> dict[Row, tuple[Pixels, Tier]]:
        """The rows that are cached in this data type, and where each was found. Never raises for Redis."""
        found: dict[Row, tuple[Pixels, Tier]] = {}
        missing: dict[Row, bytes] = {}
        async for part in in_slices(rows):
            for row in part:
                key = missing[row] = row.key(dtype, self._device)
                if self._memory and (pixels := self._memory.get(key)) is not None:
                    found[row] = pixels, "memory"
        if self._memory:
            self._count("memory", missing, found)
            missing = {row: key for row, key in missing.items() if row not in found}
        if self._redis and missing:
            answers = await self._redis.get(list(missing.values()), dtype)
            if answers is not None:
                in_redis: dict[Row, tuple[Pixels, Tier]] = {}
                for (row, key), pixels in zip(missing.items(), answers, strict=True):
                    if pixels is not None:
                        in_redis[row] = pixels, "redis"
                        if self._memory:
                            self._memory.put(key, pixels)
                self._count("redis", missing, in_redis)
                found |= in_redis
        return found

    def put(self, row: Row, pixels: Pixels) -> None:
        """Caches a computed row and makes its array read-only."""
        pixels.flags.writeable = False
        key = row.key("uint8" if pixels.dtype == np.uint8 else "float32", self._device)
        if self._memory:
            self._memory.put(key, pixels)
        if self._redis:
            self._redis.put(key, pixels)

    def _count(self, tier: Tier, asked: dict[Row, bytes], found: dict[Row, tuple[Pixels, Tier]]) -> None:
        hits = Counter(row.mechanism for row in found)
        for mechanism, total in Counter(row.mechanism for row in asked).items():
            self._metrics.row_cache_hits.labels(mechanism, tier).inc(hits[mechanism])
            self._metrics.row_cache_misses.labels(mechanism, tier).inc(total - hits[mechanism])
