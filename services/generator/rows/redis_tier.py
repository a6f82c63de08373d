"""Rows in Redis: shared by generators and their restarts; a help and never a need."""

import asyncio
import contextlib
import logging
import math
import struct
import time
import zlib
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from redis.exceptions import RedisError

from common.metrics import GeneratorMetrics
from common.redis import async_client

DType = Literal["uint8", "float32"]
Pixels = NDArray[np.uint8] | NDArray[np.float32]

KEY_PREFIX = b"cgn:row:"
# A value in Redis: magic and version, itemsize, height, width, channels; CRC-32 of key, head and data;
# then the pixels, row-major HWC, little-endian. Raise the version when this changes.
_HEAD = struct.Struct("<4sBHHB")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"CGN1"
_WIRE_TYPES: dict[DType, np.dtype[Any]] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}

_KEYS_PER_COMMAND = 256  # more would keep Redis from its other clients
_COMMANDS_AT_ONCE = 8
_BYTES_PER_WRITE = 1 << 20
_MOST_QUEUED_BYTES = 64 << 20
_READ_AT_ONCE_BYTES = 1 << 20  # that are checked on the event loop; more would hold it up
_OPERATION_SECONDS = 1.0
_RECONNECT_SECONDS = 1.0
# Writing may take a seventh of the time, however much there is to write: it is a help for later requests,
# at the cost of the present ones.
_RESTS_PER_WRITE = 6.0

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


class RedisTier:
    """Rows in Redis.

    A command is awaited for at most a second. Writes wait in a bounded queue, are written at a bounded share
    of the time, and are dropped when the queue is full. After a failure Redis is left alone, so that no
    request waits for it, until a PING in the background succeeds.
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
        self._said_down = False
        self._doubted = asyncio.Event()
        self._queue: deque[tuple[bytes, Pixels]] = deque()
        self._queued_bytes = 0
        self._queued = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connects, or finds out that Redis is absent, and begins to write and to watch."""
        await self._ping()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._write())]

    async def close(self) -> None:
        """Writes what is queued, for at most a second, and disconnects."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_OPERATION_SECONDS):
                while self._queue and self._up:
                    await self._write_batch(self._next_batch())
        with contextlib.suppress(*_REDIS_FAILURES):
            await self._redis.aclose()

    async def get(self, keys: Sequence[bytes], dtype: DType, within: float) -> list[Pixels | None] | None:
        """The rows that Redis has, None for each it has not; None for all if Redis cannot be asked.

        within: seconds that an answer may take, of which none takes more than one.
        """
        if not self._up:
            return None
        found: list[Pixels | None] = []
        step = _KEYS_PER_COMMAND * _COMMANDS_AT_ONCE
        patience = min(within, _OPERATION_SECONDS)
        try:
            async with asyncio.timeout(within):
                for start in range(0, len(keys), step):
                    part = keys[start : start + step]
                    async with asyncio.timeout(patience):
                        values = await self._get_at_once(part)
                    found += await self._checked(part, values, dtype)
        except _REDIS_FAILURES as error:
            if isinstance(error, TimeoutError) and patience < _OPERATION_SECONDS:
                self._errors.inc()  # too slow for this request; is it for all?
                self._doubted.set()
            else:
                await self._fail(error)
            return None
        return found

    async def _get_at_once(self, keys: Sequence[bytes]) -> list[bytes | None]:
        pipeline = self._redis.pipeline(transaction=False)
        for start in range(0, len(keys), _KEYS_PER_COMMAND):
            pipeline.mget([KEY_PREFIX + key for key in keys[start : start + _KEYS_PER_COMMAND]])
        return [value for values in await pipeline.execute() for value in values]

    async def _checked(
        self, keys: Sequence[bytes], values: Sequence[bytes | None], dtype: DType
    ) -> list[Pixels | None]:
        def check() -> list[Pixels | None]:
            pairs = zip(keys, values, strict=True)
            return [None if value is None else unpack(key, value, dtype) for key, value in pairs]

        size = sum(len(value) for value in values if value)
        rows = check() if size <= _READ_AT_ONCE_BYTES else await asyncio.to_thread(check)
        sound = sum(row is not None for row in rows)
        self._errors.inc(sum(value is not None for value in values) - sound)
        return rows

    def put(self, key: bytes, pixels: Pixels) -> None:
        """Queues a row to be written; drops it if Redis is down or the queue is full."""
        if not self._up:
            return
        if self._queued_bytes + pixels.nbytes > _MOST_QUEUED_BYTES:
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
                answers = await pipeline.execute(raise_on_error=False)
        except _REDIS_FAILURES as error:
            await self._fail(error)
            return
        self._errors.inc(sum(isinstance(answer, Exception) for answer in answers))

    async def _watch(self) -> None:
        while True:
            await self._doubted.wait()
            self._doubted.clear()
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
        self._said_down = False

    async def _fail(self, error: BaseException) -> None:
        self._errors.inc()
        self._up = False
        self._up_gauge.set(0)
        self._doubted.set()
        if not self._said_down:
            self._said_down = True
            reason = f"{type(error).__name__}: {error}"
            log.warning("row cache in Redis is down; serving without it", extra={"reason": reason})
        # Idle connections may lead to the Redis that died.
        with contextlib.suppress(*_REDIS_FAILURES):
            await self._redis.connection_pool.disconnect(inuse_connections=False)
