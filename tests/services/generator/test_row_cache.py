"""The row cache by itself: values, bounds, tiers, an absent Redis."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from prometheus_client import CollectorRegistry

from cgn.engine import Row
from cgn.factors import NoiseInterpolation, mixture
from common.metrics import GeneratorMetrics
from services.generator.plan.types import DType
from services.generator.rows.cache import MemoryTier, RowCache, row_key
from services.generator.rows.redis_tier import KEY_PREFIX, pack, unpack
from testing.processes import free_port
from testing.redis_process import CACHE_FLAGS, LocalRedis

DIGEST = "blake2b:" + "0" * 32
ROWS = [Row(DIGEST, mechanism, label, 7) for mechanism in ("shape", "texture") for label in range(3)]


def pixels_of(row: Row, dtype: str = "uint8") -> Any:
    channels = 1 if row.mechanism == "shape" else 3
    values = np.random.default_rng(ROWS.index(row) % 3).random((4, 5, channels))
    return (values * 255).astype(np.uint8) if dtype == "uint8" else values.astype(np.float32)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("row", [ROWS[0], ROWS[-1]])
def test_packed_rows_unpack_to_the_same_pixels(row: Row, dtype: Any) -> None:
    pixels = pixels_of(row, dtype)
    back = unpack(row_key(row, dtype, "cpu"), pack(row_key(row, dtype, "cpu"), pixels), dtype)
    assert back is not None and back.dtype == pixels.dtype and np.array_equal(back, pixels)
    assert not back.flags.writeable


def test_damaged_packs_are_refused() -> None:
    row = ROWS[-1]
    key = row_key(row, "uint8", "cpu")
    value = pack(key, pixels_of(row))
    for end in range(len(value)):
        assert unpack(key, value[:end], "uint8") is None
    assert unpack(key, value + b"\0", "uint8") is None
    for i in range(len(value)):
        damaged = value[:i] + bytes([value[i] ^ 0x10]) + value[i + 1 :]
        assert unpack(key, damaged, "uint8") is None
    assert unpack(row_key(ROWS[0], "uint8", "cpu"), value, "uint8") is None
    assert unpack(key, value, "float32") is None


def test_keys_tell_everything_apart() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"digest": "blake2b:" + "1" * 32},
        {"digest": "blake2b:" + "0" * 31 + "1"},
        {"mechanism": "background"},
        {"mechanism": "texture"},
        {"label": 1},
        {"label": mixture({3: 0.5, 4: 0.5})},
        {"label": mixture({3: 0.25, 4: 0.75})},
        {"seed": 8},
        {"seed": 7 + 2**63},
        {"interpolation": NoiseInterpolation(8, 0.5)},
        {"interpolation": NoiseInterpolation(8, 0.5, "spherical")},
        {"truncation": 0.5},
    ]
    rows = [ROWS[0]._replace(**change) for change in changes]
    dtypes: tuple[DType, ...] = ("uint8", "float32")
    keys = {row_key(row, dtype, "cpu") for row in rows for dtype in dtypes}
    keys.add(row_key(ROWS[0], "uint8", "cuda"))
    assert len(keys) == 2 * len(changes) + 1 and {len(key) for key in keys} == {16}
    assert row_key(ROWS[0], "uint8", "cpu") == row_key(ROWS[0]._replace(), "uint8", "cpu")


def test_the_memory_tier_holds_the_most_recent_rows_within_its_bytes() -> None:
    row = np.zeros((32, 32, 3), np.uint8)
    tier = MemoryTier(10_000)  # room for two rows and their overhead
    for key in (b"a", b"b", b"b"):
        tier.put(key, row)
    assert tier.get(b"a") is not None
    tier.put(b"c", row)
    assert tier.bytes <= 10_000
    assert [key for key in (b"a", b"b", b"c") if tier.get(key) is not None] == [b"a", b"c"]
    tier.put(b"huge", np.zeros((100, 100, 3), np.uint8))
    assert tier.get(b"huge") is None and tier.get(b"a") is not None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalRedis]:
    with LocalRedis(free_port(), tmp_path, CACHE_FLAGS) as server:
        yield server


class Cached:
    """Runs a body with a RowCache that is started and closed around it."""

    def __init__(self, memory_bytes: int, url: str | None) -> None:
        self.registry = CollectorRegistry()
        self._make = lambda: RowCache(memory_bytes, url, 3600, "cpu", GeneratorMetrics(self.registry))

    def run(self, body: Callable[[RowCache], Awaitable[None]]) -> None:
        async def go() -> None:
            cache = self._make()
            await cache.start()
            await body(cache)
            await cache.close()

        asyncio.run(go())

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


async def fill(cache: RowCache) -> None:
    for row in ROWS:
        cache.put(row, pixels_of(row))


def test_rows_outlive_the_process_in_redis(server: LocalRedis) -> None:
    Cached(0, server.url).run(fill)  # closing writes the queued rows

    async def read(cache: RowCache) -> None:
        result = await cache.get([*ROWS, Row(DIGEST, "texture", 9, 9)], "uint8")
        assert list(result) == ROWS
        for row, (pixels, tier) in result.items():
            assert tier == "redis" and np.array_equal(pixels, pixels_of(row))
        assert not await cache.get(ROWS, "float32")
        assert {tier for _, tier in (await cache.get(ROWS, "uint8")).values()} == {"memory"}

    cached = Cached(1 << 20, server.url)
    cached.run(read)
    assert cached.value("cgn_row_cache_hits_total", mechanism="shape", tier="redis") == 3
    assert cached.value("cgn_row_cache_misses_total", mechanism="texture", tier="redis") == 4
    assert cached.value("cgn_row_cache_hits_total", mechanism="texture", tier="memory") == 3
    assert cached.value("cgn_row_cache_errors_total", tier="redis") == 0

    with redis.Redis.from_url(server.url) as connection:
        keys: Any = connection.keys()
        assert sorted(keys) == sorted(KEY_PREFIX + row_key(row, "uint8", "cpu") for row in ROWS)
        assert all(0 < connection.ttl(key) <= 3600 for key in keys)


@pytest.mark.parametrize(
    "url", [None, f"redis://127.0.0.1:{free_port()}/0"], ids=["no_redis", "absent_redis"]
)
def test_without_redis_the_memory_tier_serves(url: str | None) -> None:
    async def body(cache: RowCache) -> None:
        assert not await cache.get(ROWS, "uint8")
        await fill(cache)
        assert {tier for _, tier in (await cache.get(ROWS, "uint8")).values()} == {"memory"}

    cached = Cached(1 << 20, url)
    cached.run(body)
    assert (cached.value("cgn_row_cache_errors_total", tier="redis") or 0) == (1 if url else 0)
    assert cached.value("cgn_row_cache_bytes") > 0  # type: ignore[operator]


def test_without_any_tier_nothing_is_cached() -> None:
    async def body(cache: RowCache) -> None:
        await fill(cache)
        assert not await cache.get(ROWS, "uint8")

    Cached(0, None).run(body)


def test_a_full_redis_only_counts_errors(tmp_path: Path) -> None:
    flags = ("--maxmemory", "100kb", "--maxmemory-policy", "noeviction")
    with LocalRedis(free_port(), tmp_path, flags) as full:
        cached = Cached(0, full.url)
        cached.run(fill)
        assert (cached.value("cgn_row_cache_errors_total", tier="redis") or 0) > 0


def test_a_hanging_redis_takes_no_longer_than_allowed_and_is_not_used(server: LocalRedis) -> None:
    cached = Cached(0, server.url)

    async def body(cache: RowCache) -> None:
        await fill(cache)
        while len(await cache.get(ROWS, "uint8")) < len(ROWS):
            await asyncio.sleep(0.05)
        assert cached.value("cgn_row_cache_up") == 1
        server.process.send_signal(signal.SIGSTOP)
        assert not await cache.get(ROWS, "uint8", timeout=0.05)  # shorter than the usual limit of a reply
        while cached.value("cgn_row_cache_up"):  # a PING beside the requests finds out that Redis hangs
            await asyncio.sleep(0.05)
        assert not await cache.get(ROWS, "uint8")
        server.process.send_signal(signal.SIGCONT)
        while not cached.value("cgn_row_cache_up"):
            await asyncio.sleep(0.05)
        assert len(await cache.get(ROWS, "uint8")) == len(ROWS)

    try:
        cached.run(body)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert (cached.value("cgn_row_cache_errors_total", tier="redis") or 0) >= 2


def test_writes_beyond_the_bounded_queue_are_dropped(server: LocalRedis) -> None:
    rows = [Row(DIGEST, "texture", 0, seed) for seed in range(70)]

    async def body(cache: RowCache) -> None:
        for row in rows:  # 70 MiB before anything can be written
            cache.put(row, np.zeros((512, 683, 3), np.uint8))
        dropped = cached.value("cgn_row_cache_dropped_total")
        assert dropped is not None and 5 <= dropped <= 7
        while not await cache.get(rows, "uint8"):  # the other rows are written in small batches
            await asyncio.sleep(0.05)

    cached = Cached(0, server.url)
    cached.run(body)
