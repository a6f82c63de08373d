"""Caches rows in Redis, which generators share and which outlives their restarts. Redis is optional."""

import asyncio
import contextlib
import logging
import math
import struct
import time
import zlib
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from redis.exceptions import RedisError

from common.metrics import GeneratorMetrics
from common.redis import async_client
from services.generator.plan.types import DType, Pixels

KEY_PREFIX = b"cgn:row:"
# Format of a value in Redis: magic and version, itemsize, height, width, channels; CRC-32 of key, head and
# data; then the pixels, row-major HWC, little-endian. Raise the version when the format changes.
_HEAD = struct.Struct("<4sBHHB")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"CGN1"
_WIRE_TYPES: dict[DType, np.dtype[Any]] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}

_KEYS_PER_COMMAND = 256  # more would keep Redis from serving other clients
_COMMANDS_AT_ONCE = 8
_BYTES_PER_WRITE = 1 << 20
_MAX_QUEUED_BYTES = 64 << 20
_CHECKED_ON_LOOP_BYTES = 1 << 20  # a thread checks larger replies, which would block the event loop
_OPERATION_SECONDS = 1.0
_RECONNECT_SECONDS = 1.0
# Writing takes at most a seventh of the time, however much is queued: it helps later requests at the cost of
# the current ones.
_RESTS_PER_WRITE = 6.0

_REDIS_FAILURES = (RedisError, OSError, TimeoutError)

log = logging.getLogger(__name__)


def pack(key: bytes, pixels: Pixels) -> bytes:
    """Returns the Redis value of a row. pixels: HWC, uint8 or float32."""
    head = _HEAD.pack(_MAGIC, pixels.itemsize, *pixels.shape)
    data = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    return head + _CHECKSUM.pack(zlib.crc32(data, zlib.crc32(key + head))) + data


def unpack(key: bytes, value: bytes, dtype: DType) -> Pixels | None:
    """Returns the pixels of a Redis value, read-only; None if it is damaged, foreign or of another key."""
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


class RedisTier:
    """Rows in Redis.

    A command may take at most a second. Writes wait in a bounded queue, take a bounded share of the time, and
    are dropped when the queue is full. After a failure Redis is not used, so that no request waits for it,
    until a PING in the background succeeds.
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
        self._dropped = metrics.row_cache_dropped
        self._up_gauge = metrics.row_cache_up
        self._up = False
        self._logged_down = False
        self._needs_ping = asyncio.Event()
        self._queue: deque[tuple[bytes, Pixels]] = deque()
        self._queued_bytes = 0
        self._queued = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connects if Redis is reachable, and starts the tasks that write rows and watch Redis."""
        await self._ping()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._write())]

    async def close(self) -> None:
        """Writes the queued rows, for at most a second, and disconnects."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_OPERATION_SECONDS):
                while self._queue and self._up:
                    await self._write_batch(self._next_batch())
        with contextlib.suppress(*_REDIS_FAILURES):
            await self._redis.aclose()

    async def get(self, keys: Sequence[bytes], dtype: DType, timeout: float) -> list[Pixels | None] | None:
        """The cached row of each key, or None for it; None as a whole if Redis is not available.

        timeout: total seconds; each Redis reply is also limited to 1 s.
        """
        if not self._up:
            return None
        rows: list[Pixels | None] = []
        step = _KEYS_PER_COMMAND * _COMMANDS_AT_ONCE
        reply_timeout = min(timeout, _OPERATION_SECONDS)
        try:
            async with asyncio.timeout(timeout):
                for start in range(0, len(keys), step):
                    part = keys[start : start + step]
                    async with asyncio.timeout(reply_timeout):
                        values = await self._get_at_once(part)
                    rows += await self._check(part, values, dtype)
        except _REDIS_FAILURES as error:
            if isinstance(error, TimeoutError) and reply_timeout < _OPERATION_SECONDS:
                self._errors.inc()  # too slow for this request; a PING shows whether it is too slow for all
                self._needs_ping.set()
            else:
                await self._fail(error)
            return None
        return rows

    async def _get_at_once(self, keys: Sequence[bytes]) -> list[bytes | None]:
        pipeline = self._redis.pipeline(transaction=False)
        for start in range(0, len(keys), _KEYS_PER_COMMAND):
            pipeline.mget([KEY_PREFIX + key for key in keys[start : start + _KEYS_PER_COMMAND]])
        return [value for values in await pipeline.execute() for value in values]

    async def _check(
        self, keys: Sequence[bytes], values: Sequence[bytes | None], dtype: DType
    ) -> list[Pixels | None]:
        def unpack_all() -> list[Pixels | None]:
            pairs = zip(keys, values, strict=True)
            return [None if value is None else unpack(key, value, dtype) for key, value in pairs]

        size = sum(len(value) for value in values if value)
        rows = unpack_all() if size <= _CHECKED_ON_LOOP_BYTES else await asyncio.to_thread(unpack_all)
        intact = sum(row is not None for row in rows)
        self._errors.inc(sum(value is not None for value in values) - intact)
        return rows

    def put(self, key: bytes, pixels: Pixels) -> None:
        """Queues a row to be written; drops it if Redis is down or the queue is full."""
        if not self._up:
            return
        if self._queued_bytes + pixels.nbytes > _MAX_QUEUED_BYTES:
            self._dropped.inc()
            return
        self._queue.append((key, pixels))
        self._queued_bytes += pixels.nbytes
        self._queued.set()

    async def _write(self) -> None:
        while True:
            await self._queued.wait()
            began = time.monotonic()
            await self._write_batch(self._next_batch())
            await asyncio.sleep(_RESTS_PER_WRITE * (time.monotonic() - began))

    def _next_batch(self) -> list[tuple[bytes, Pixels]]:
        batch: list[tuple[bytes, Pixels]] = []
        size = 0
        while self._queue and len(batch) < _KEYS_PER_COMMAND and size < _BYTES_PER_WRITE:
            batch.append(self._queue.popleft())
            size += batch[-1][1].nbytes
        self._queued_bytes -= size
        if not self._queue:
            self._queued.clear()
        return batch

    async def _write_batch(self, batch: list[tuple[bytes, Pixels]]) -> None:
        if not self._up:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for key, pixels in batch:
            pipeline.set(KEY_PREFIX + key, pack(key, pixels), ex=self._ttl)
        try:
            async with asyncio.timeout(_OPERATION_SECONDS):
                replies = await pipeline.execute(raise_on_error=False)
        except _REDIS_FAILURES as error:
            await self._fail(error)
            return
        self._errors.inc(sum(isinstance(reply, Exception) for reply in replies))

    async def _watch(self) -> None:
        while True:
            await self._needs_ping.wait()
            self._needs_ping.clear()
            if not self._up:
                await asyncio.sleep(_RECONNECT_SECONDS)
            await self._ping()

    async def _ping(self) -> None:
        try:
            async with asyncio.timeout(_OPERATION_SECONDS):
                await self._redis.ping()
        except _REDIS_FAILURES as error:
            await self._fail(error)
            return
        if not self._up:
            log.info("row cache in Redis is up")
        self._up = True
        self._up_gauge.set(1)
        self._logged_down = False

    async def _fail(self, error: BaseException) -> None:
        self._errors.inc()
        self._up = False
        self._up_gauge.set(0)
        self._needs_ping.set()
        if not self._logged_down:
            self._logged_down = True
            reason = f"{type(error).__name__}: {error}"
            log.warning("row cache in Redis is down; serving without it", extra={"reason": reason})
        # Idle connections may belong to a Redis process that has died.
        with contextlib.suppress(*_REDIS_FAILURES):
            await self._redis.connection_pool.disconnect(inuse_connections=False)
