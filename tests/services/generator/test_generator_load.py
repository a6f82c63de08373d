"""The generator under load: fairness, shared work, deadlines, memory, the end of the grace period."""

import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub
from cgn_client import CgnError, Client, composite
from services.probe import probe
from testing.generator_process import GeneratorProcess
from testing.processes import wait_for
from testing.random_model import publish_random


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served") / "models"
    publish_random(root, "tiny")
    publish_random(root, "slow", width=64, resolution=64)
    return root


@pytest.fixture(scope="module")
def generator(models_dir: Path) -> Iterator[GeneratorProcess]:
    with GeneratorProcess(models_dir) as process:
        yield process


def bulk(count: int, seed: int) -> pb.GenerateRequest:
    """Distinct rows of the slow model; the files are small, so any number of them fits."""
    composites = [composite(i % 10, i % 9, i % 8, seed=seed * 10_000 + i) for i in range(count)]
    return pb.GenerateRequest(
        model="slow", composites=composites, outputs=[pb.OUTPUT_MASK], encoding=pb.ENCODING_PNG
    )


def test_a_single_image_is_answered_while_a_bulk_is_computed(models_dir: Path) -> None:
    with GeneratorProcess(models_dir) as generator, grpc.insecure_channel(generator.address) as channel:
        before = generator.metrics()["cgn_batch_rows_sum"]
        large = GeneratorServiceStub(channel).Generate.future(bulk(4096, seed=1))
        wait_for("work", lambda: generator.metrics()["cgn_batch_rows_sum"] > before)
        for seed in range(5):
            assert generator.client.generate("slow", [composite(1, 2, 3, seed=seed)], ["mask"])
        assert not large.done()
        assert generator.metrics()["cgn_pixels_in_flight{slow}"] == 4096 * 64 * 64
        assert large.cancel()
        wait_for("the share given back", lambda: "cgn_pixels_in_flight" not in generator.metrics())


def test_rows_of_simultaneous_requests_are_computed_once(generator: GeneratorProcess) -> None:
    before = generator.settled_metrics()
    rounds, callers = 20, 8
    with ThreadPoolExecutor(callers) as threads, Client(generator.address) as client:
        for n in range(rounds):
            asked = [composite(i, i, i, seed=7000 + n) for i in range(10)]
            answers = [
                call.result()
                for call in [threads.submit(client.generate, "tiny", asked) for _ in range(callers)]
            ]
            for answer in answers[1:]:
                for one, other in zip(answers[0], answer, strict=True):
                    assert np.array_equal(one["composite"], other["composite"])
    after = generator.settled_metrics()
    gained = {name: after[name] - before.get(name, 0.0) for name in after}
    assert gained["cgn_batch_rows_sum"] == gained["cgn_rows_total{computed}"] == rounds * 30
    # Rows are cached for a caller that arrives after the others were answered: there may be none.
    shared, cached = (gained.get(f"cgn_rows_total{{{origin}}}", 0.0) for origin in ("shared", "memory"))
    assert shared > 0 and shared + cached == rounds * 30 * (callers - 1)


def test_a_deadline_that_cannot_be_met_is_refused_before_any_work(generator: GeneratorProcess) -> None:
    def ask(count: int, seed: int, timeout: float) -> None:
        asked = [composite(i % 10, i % 9, i % 8, seed=seed + i) for i in range(count)]
        with Client(generator.address, timeout=timeout) as client:
            client.generate("slow", asked, ["mask"], encoding="png")

    began = time.monotonic()
    ask(64, 200_000, 60.0)
    took = time.monotonic() - began
    before = generator.settled_metrics()
    with pytest.raises(CgnError) as refused:
        ask(4000, 300_000, 10 * took)
    assert (refused.value.code, refused.value.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_TOO_SHORT")
    after = generator.metrics()
    assert after["cgn_batch_rows_sum"] == before["cgn_batch_rows_sum"]
    assert after["cgn_refusals_total{deadline}"] == before.get("cgn_refusals_total{deadline}", 0) + 1
    ask(1, 400_000, 60.0)


def test_a_request_that_can_never_fit_is_refused_without_a_retry_time(models_dir: Path) -> None:
    with (
        GeneratorProcess(models_dir, CGN_MEGAPIXELS_IN_FLIGHT="1") as small,
        pytest.raises(CgnError, match="at most 256 rows of this model") as refused,
    ):
        small.client.generate("slow", [composite(1, i % 10, 1, seed=i) for i in range(300)], encoding="png")
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "REQUEST_TOO_LARGE")
    assert [violation.field for violation in refused.value.violations] == ["composites"]


def test_an_overloaded_model_does_not_block_the_others(models_dir: Path) -> None:
    with (
        GeneratorProcess(models_dir, CGN_MEGAPIXELS_IN_FLIGHT="4") as small,
        grpc.insecure_channel(small.address) as channel,
    ):
        held = GeneratorServiceStub(channel).Generate.future(bulk(1000, seed=3))
        wait_for("work", lambda: small.metrics().get("cgn_pixels_in_flight{slow}"))
        with pytest.raises(CgnError) as refused:
            small.client.generate("slow", [composite(1, 1, 1, seed=i) for i in range(100)], ["mask"])
        assert (refused.value.reason, refused.value.retry_seconds) == ("OVERLOADED", 1.0)
        assert small.client.generate("tiny", [composite(1, 1, 1, seed=i) for i in range(100)], ["mask"])
        assert not held.done()
        assert held.cancel()


def test_requests_that_the_grace_period_cannot_serve_are_refused(models_dir: Path) -> None:
    with (
        GeneratorProcess(models_dir, CGN_GRACE_SECONDS="2") as generator,
        grpc.insecure_channel(generator.address) as channel,
    ):
        stub = GeneratorServiceStub(channel)
        calls = [stub.Generate.future(bulk(4000, seed)) for seed in range(4, 8)]
        held = 4 * 4000 * 64 * 64
        wait_for("work", lambda: generator.metrics().get("cgn_pixels_in_flight", 0) >= held)
        generator.process.terminate()
        wait_for("health to say so", lambda: probe(generator.address, 1.0) != "SERVING")
        for call in calls:
            error: Any = call.exception()
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert "the engine is stopping" in error.details()
        assert generator.process.wait(60) == 0


def test_a_request_without_memory_is_refused_and_the_next_one_is_served(models_dir: Path) -> None:
    with GeneratorProcess(models_dir, CGN_ROW_CACHE_MB="0") as generator:
        client = generator.client
        (fresh,) = client.generate("slow", [composite(1, 2, 3, seed=4)])

        def fill() -> None:
            for seed in range(1000):  # until the free memory of before is used up
                client.generate("slow", [composite(1, 2, 3, seed=32 * seed + i) for i in range(32)])

        with no_more_memory(generator.process.pid), pytest.raises(CgnError) as refused:
            fill()
        report = refused.value.code, refused.value.reason
        assert report == ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY"), generator.log()
        assert generator.metrics()["cgn_errors_total{OUT_OF_MEMORY}"] > 0
        (again,) = client.generate("slow", [composite(1, 2, 3, seed=4)])
        assert np.array_equal(again["composite"], fresh["composite"])


@contextmanager
def no_more_memory(pid: int) -> Iterator[None]:
    """Limits a process to the address space that it uses now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (size,) = (line.split()[1] for line in lines if line.startswith("VmSize:"))
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (1024 * int(size), before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)
