"""The row cache of the generator: hits, rows shared through Redis, and a Redis that fails."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from cgn_client import Client, Result, composite
from cgn_client.composites import Encoding, Output
from testing.generator_process import GeneratorProcess
from testing.processes import free_port, wait_for
from testing.random_model import publish_random
from testing.redis_process import CACHE_FLAGS, LocalRedis

ALL: list[Output] = ["composite", "mask", "foreground", "background"]
ENCODINGS: list[Encoding] = ["raw_uint8", "raw_float32", "png", "jpeg", "webp"]
ASKED = [composite(i, 9 - i, i, seed=50 + i) for i in range(10)]  # 30 rows


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    publish_random(tmp_path / "models", "tiny")
    return tmp_path / "models"


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[LocalRedis]:
    with LocalRedis(free_port(), tmp_path / "redis", CACHE_FLAGS) as server:
        yield server


def image_bytes(results: list[Result]) -> list[bytes]:
    return [bytes(image) for result in results for image in result.images.values()]


def hits(results: list[Result]) -> set[bool]:
    factors = [factor for r in results for factor in (r.shape, r.texture, r.background) if factor]
    return {factor.cache_hit for factor in factors}


def forward_passes(generator: GeneratorProcess) -> float:
    return generator.settled_metrics()["cgn_batches_total"]


def rows_in(cache: LocalRedis) -> int:
    with redis.Redis.from_url(cache.url) as connection:
        count: Any = connection.dbsize()
    return int(count)


def test_repeated_generate_runs_no_forward_pass(models_dir: Path) -> None:
    with GeneratorProcess(models_dir) as generator:
        client = generator.client
        for encoding in ENCODINGS:
            first = client.generate("tiny", ASKED, ALL, encoding=encoding)
            passes = forward_passes(generator)
            second = client.generate("tiny", ASKED, ALL, encoding=encoding)
            assert forward_passes(generator) == passes and hits(second) == {True}
            assert image_bytes(first) == image_bytes(second)
        assert generator.metrics()["cgn_rows_total{computed}"] == 60  # once as uint8, once as float32
        assert generator.metrics()["cgn_row_cache_bytes"] > 30 * 1024 * 5

        recombined = [composite(i, i, i, seed=50 + i) for i in range(10)]
        (shapes, textures) = zip(
            *[(r.shape, r.texture) for r in client.generate("tiny", recombined)], strict=True
        )
        assert all(shape.cache_hit for shape in shapes)
        assert not any(texture.cache_hit for texture in textures)


def test_uint8_and_float32_rows_are_never_converted_into_each_other(models_dir: Path) -> None:
    answers: dict[Encoding, list[bytes]] = {}
    orders: list[list[Encoding]] = [["raw_uint8", "raw_float32"], ["raw_float32", "raw_uint8"]]
    for order in orders:
        with GeneratorProcess(models_dir) as generator:
            for encoding in order:
                results = generator.client.generate("tiny", ASKED, ALL, encoding=encoding)
                assert hits(results) == {False}
                assert answers.setdefault(encoding, image_bytes(results)) == image_bytes(results)


def test_second_generator_hits_the_rows_of_the_first(models_dir: Path, cache: LocalRedis) -> None:
    fresh = {}
    with GeneratorProcess(models_dir, cache.url) as first:
        for encoding in ENCODINGS:
            fresh[encoding] = image_bytes(first.client.generate("tiny", ASKED, ALL, encoding=encoding))
        wait_for("the rows in Redis", lambda: rows_in(cache) == 60)
        with GeneratorProcess(models_dir, cache.url, CGN_ROW_CACHE_MB="0") as second:
            passes = forward_passes(second)
            for encoding in ENCODINGS:
                results = second.client.generate("tiny", ASKED, ALL, encoding=encoding)
                assert hits(results) == {True} and image_bytes(results) == fresh[encoding]
            assert forward_passes(second) == passes
            assert second.metrics()["cgn_rows_total{redis}"] == 150
            assert second.metrics()["cgn_row_cache_hits_total{redis}"] == 150
            assert "cgn_row_cache_hits_total{memory}" not in second.metrics()  # that tier is off


def test_new_weights_under_the_same_version_do_not_hit_rows_of_the_old_ones(
    models_dir: Path, tmp_path: Path, cache: LocalRedis
) -> None:
    version = models_dir / "tiny" / "v1"

    def answer_of(generator: GeneratorProcess, digest: str) -> list[Result]:
        wait_for("the weights", lambda: [m.digest for m in generator.client.list_models()] == [digest])
        return generator.client.generate("tiny", ASKED, ALL)

    with GeneratorProcess(models_dir, cache.url) as generator:
        (old,) = generator.client.list_models()
        first = answer_of(generator, old.digest)
        wait_for("the rows in Redis", lambda: rows_in(cache) == 30)

        version.rename(tmp_path / "old")
        swapped = answer_of(generator, publish_random(models_dir, "tiny", seed=1).digest)
        assert hits(swapped) == {False}
        assert {r.version for r in swapped} == {"v1"} and {r.digest for r in swapped} != {old.digest}
        assert not set(image_bytes(swapped)) & set(image_bytes(first))

        version.rename(tmp_path / "new")
        (tmp_path / "old").rename(version)
        back = answer_of(generator, old.digest)
        assert hits(back) == {True} and image_bytes(back) == image_bytes(first)


def test_damaged_values_are_misses(models_dir: Path, cache: LocalRedis) -> None:
    with GeneratorProcess(models_dir, cache.url, CGN_ROW_CACHE_MB="0") as generator:
        fresh = generator.client.generate("tiny", ASKED, ALL)
        wait_for("the rows in Redis", lambda: rows_in(cache) == 30)
        with redis.Redis.from_url(cache.url) as connection:
            keys: Any = connection.keys()
            assert all(connection.ttl(key) > 80_000 for key in keys)
            whole = [connection.get(key) for key in keys]
            for i, key in enumerate(keys):
                value: Any = whole[i]
                flipped = value[:-1] + bytes([value[-1] ^ 1])
                connection.set(key, [b"", value[:100], flipped, whole[i - 1], b"x" * 5000][i % 5])
        again = generator.client.generate("tiny", ASKED, ALL)
        assert hits(again) == {False} and image_bytes(again) == image_bytes(fresh)
        assert generator.metrics()["cgn_row_cache_errors_total{redis}"] == 30


@pytest.mark.parametrize("memory", ["0", "256"])
def test_killing_redis_while_serving_loses_no_request(models_dir: Path, tmp_path: Path, memory: str) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    results: list[list[Result]] = []

    def ask(generator: GeneratorProcess, thread: int) -> None:
        with Client(generator.address) as client:
            for i in range(40):
                asked = [composite(d, d, d, seed=1000 * thread + i // 2) for d in range(10)]
                results.append(client.generate("tiny", asked))

    def serve_through(generator: GeneratorProcess, change: Any) -> None:
        results.clear()
        with ThreadPoolExecutor() as threads:
            asking = [threads.submit(ask, generator, thread) for thread in range(3)]
            wait_for("first answers", lambda: len(results) > 15)
            change()
            for thread in asking:
                thread.result()
        assert len(results) == 120

    cache = LocalRedis(port, tmp_path / "redis", CACHE_FLAGS)
    try:
        with GeneratorProcess(models_dir, url, CGN_ROW_CACHE_MB=memory) as generator:
            serve_through(generator, cache.process.kill)
            cache.process.wait()
            assert generator.metrics()["cgn_row_cache_errors_total{redis}"] > 0
            assert "serving without it" in generator.log()

            cache = LocalRedis(port, tmp_path / "redis", CACHE_FLAGS)
            wait_for("Redis in use again", lambda: generator.log().count("row cache in Redis is up") == 2)
            generator.client.generate("tiny", ASKED)
            wait_for("the rows in Redis", lambda: rows_in(cache) == 30)
            assert hits(generator.client.generate("tiny", ASKED)) == {True}
    finally:
        cache.stop()


def test_an_absent_or_hanging_redis_only_delays_answers(models_dir: Path, cache: LocalRedis) -> None:
    with GeneratorProcess(models_dir, f"redis://127.0.0.1:{free_port()}/0") as generator:
        expected = image_bytes(generator.client.generate("tiny", ASKED))
    with GeneratorProcess(models_dir, cache.url, CGN_ROW_CACHE_MB="0") as generator:
        cache.process.send_signal(signal.SIGSTOP)
        answers = [generator.client.generate("tiny", ASKED) for _ in range(20)]
        assert all(image_bytes(results) == expected for results in answers)
        metrics = generator.metrics()
        # Only the first request asked Redis: after a failure Redis is not used until it replies again.
        # While an answer is being sent, its rows are shared with the next request.
        assert metrics["cgn_rows_total{computed}"] + metrics.get("cgn_rows_total{shared}", 0.0) == 600
        assert metrics["cgn_row_cache_errors_total{redis}"] > 0
        assert "cgn_row_cache_misses_total{redis}" not in metrics
        cache.process.send_signal(signal.SIGCONT)
        wait_for("Redis in use again", lambda: generator.log().count("row cache in Redis is up") == 2)
        assert image_bytes(generator.client.generate("tiny", ASKED)) == expected
