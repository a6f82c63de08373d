"""The engine's queue: cancelled, late, shared and bad rows, fair shares, a dying thread."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgn.engine import Batch, DeadlineExceeded, Engine, EngineStopped, Flow, OutOfMemory, Row, RowRequest
from cgn.errors import CgnInputError
from cgn.model import CGN
from cgn.store import checkpoint
from testing.random_model import publish_random

SECONDS = 60.0


class Gate:
    """Blocks a model's forward passes until the test lets them through."""

    def __init__(self, model: CGN) -> None:
        self.passes: list[list[int]] = []  # seeds of the rows of every started pass
        self.error: BaseException | None = None  # raised by the next pass
        self.began = threading.Semaphore(0)
        self._open = threading.Semaphore(0)
        self._rows = model.rows
        model.rows = self._gated  # type: ignore[method-assign]

    def let(self, passes: int = 1_000_000) -> None:
        self._open.release(passes)

    def _gated(self, mechanism: Any, factors: Sequence[Any], at_once: int | None = None) -> Any:
        self.passes.append([factor.seed for factor in factors])
        self.began.release()
        assert self._open.acquire(timeout=SECONDS)
        if self.error:
            error, self.error = self.error, None
            raise error
        return self._rows(mechanism, factors, at_once)


@pytest.fixture
def model(tmp_path: Path) -> CGN:
    publish_random(tmp_path, "tiny")
    return checkpoint.load(tmp_path, "tiny")


@pytest.fixture
def gate(model: CGN) -> Gate:
    return Gate(model)


@pytest.fixture
def batches() -> list[Batch]:
    return []


@pytest.fixture
def deaths() -> list[BaseException]:
    return []


@pytest.fixture
def engine(model: CGN, gate: Gate, batches: list[Batch], deaths: list[BaseException]) -> Iterator[Engine]:
    engine = Engine(threads=1, on_batch=batches.append, on_death=deaths.append)
    engine.add(model)
    yield engine
    gate.let()
    engine.close()


def rows(model: CGN, *seeds: int) -> list[Row]:
    return [Row(model.card.digest, "shape", 1, seed) for seed in seeds]


def busy(engine: Engine, gate: Gate, model: CGN) -> RowRequest:
    """Returns a request whose forward pass has begun, so that later rows must queue."""
    request = engine.submit(rows(model, 999_999 + len(gate.passes)))
    assert gate.began.acquire(timeout=SECONDS)
    return request


def test_cancelled_rows_cost_nothing_and_harm_nobody(engine: Engine, gate: Gate, model: CGN) -> None:
    first = busy(engine, gate, model)
    cancelled = engine.submit(rows(model, *range(100)))
    waiting_request = engine.submit(rows(model, 5, 1000))  # both request row 5
    assert cancelled.future.cancel() and first.future.cancel()  # one of them while its pass runs
    gate.let()
    assert len(waiting_request.future.result(SECONDS)) == 2
    assert gate.passes == [[999_999], [5, 1000]]
    with pytest.raises(CancelledError):
        cancelled.future.result(0)


def test_equal_rows_in_flight_are_computed_once(engine: Engine, gate: Gate, model: CGN) -> None:
    first = busy(engine, gate, model)
    joins_running = engine.submit(rows(model, 999_999))
    waiting = engine.submit(rows(model, 1, 2))
    joins_waiting = engine.submit(rows(model, 2, 3, 1))
    gate.let()
    results = [request.future.result(SECONDS) for request in (first, joins_running, waiting, joins_waiting)]
    assert sorted(seed for seeds in gate.passes for seed in seeds) == [1, 2, 3, 999_999]
    assert results[0][0] is results[1][0]
    assert results[2][1] is results[3][0] and results[2][0] is results[3][2]
    assert not waiting.shared and joins_waiting.shared == set(rows(model, 1, 2))
    assert not results[0][0].flags.writeable

    again = engine.submit(rows(model, 1, 3))  # their pixels are still referenced
    assert again.future.result(0)[0] is results[2][0] and again.shared == set(rows(model, 1, 3))
    one = np.array(results[2][0])
    del results, again, first, joins_running, waiting, joins_waiting
    (fresh,) = engine.submit(rows(model, 1)).future.result(SECONDS)  # no longer referenced
    assert np.array_equal(fresh, one) and gate.passes[-1] == [1]


def test_a_single_row_overtakes_a_bulk_request(engine: Engine, gate: Gate, model: CGN) -> None:
    busy(engine, gate, model)
    flow = Flow()
    bulk = [engine.submit(rows(model, *range(n, n + 100)), flow=flow) for n in (0, 100, 200)]
    one = engine.submit(rows(model, 5000))
    hurried = engine.submit(rows(model, 299))  # the bulk's last row, which now goes first
    gate.let()
    one.future.result(SECONDS), hurried.future.result(SECONDS)
    assert {5000, 299} <= set(gate.passes[1])
    assert sum(len(request.future.result(SECONDS)) for request in bulk) == 300
    assert sum(map(len, gate.passes)) == 302


def test_an_idle_engine_adds_no_wait_and_a_busy_one_fills_its_batches(
    engine: Engine, gate: Gate, model: CGN, batches: list[Batch]
) -> None:
    gate.let(1)
    busy(engine, gate, model).future.result(SECONDS)  # nothing else came, and nothing was waited for
    busy(engine, gate, model)
    full = model.network.batch_rows
    singles = [engine.submit(rows(model, seed)) for seed in range(100, 100 + 2 * full + 1)]
    gate.let()
    for single in singles:
        single.future.result(SECONDS)
    assert [len(seeds) for seeds in gate.passes] == [1, 1, full, full, 1]


def test_a_deadline_that_cannot_be_met_is_refused_on_arrival(engine: Engine, gate: Gate, model: CGN) -> None:
    gate.let(1)
    began = time.monotonic()
    busy(engine, gate, model).future.result(SECONDS)
    longest = time.monotonic() - began  # upper bound of the duration of a pass
    with pytest.raises(DeadlineExceeded, match="0 s remain"):
        engine.submit(rows(model, 2), deadline=time.monotonic() - 1)
    many = rows(model, *range(10, 20_000))
    with pytest.raises(DeadlineExceeded, match="these rows take") as late:
        engine.submit(many, deadline=time.monotonic() + 0.001)
    alone = float(re.findall(r"these rows take (\S+) s", str(late.value))[0])
    busy(engine, gate, model)
    queued = engine.submit(many)
    fits = engine.submit(rows(model, 3), deadline=time.monotonic() + SECONDS + 10 * longest)
    others = rows(model, *range(50_000, 70_000))
    with pytest.raises(DeadlineExceeded) as late:  # queued rows go first, up to the cost of the new rows
        engine.submit(others, deadline=time.monotonic() + 1.5 * alone)
    assert late.value.queued_seconds > 0
    with pytest.raises(DeadlineExceeded) as late:  # late even without queued rows
        engine.submit(others, deadline=time.monotonic() + 0.5 * alone)
    assert late.value.queued_seconds == 0
    queued.future.cancel()
    gate.let()
    fits.future.result(SECONDS)
    assert len(gate.passes) == 3


def test_late_rows_are_dropped_when_their_batch_is_formed(engine: Engine, gate: Gate, model: CGN) -> None:
    busy(engine, gate, model)
    late = engine.submit(rows(model, 1, 2), deadline=time.monotonic() + 0.05)
    patient = engine.submit(rows(model, 2, 3))
    time.sleep(0.1)  # the deadline passes while the first pass runs
    gate.let()
    patient.future.result(SECONDS)
    with pytest.raises(DeadlineExceeded):
        late.future.result(SECONDS)
    assert [sorted(seeds) for seeds in gate.passes] == [[999_999], [2, 3]]


def test_a_bad_row_fails_alone(engine: Engine, gate: Gate, model: CGN) -> None:
    busy(engine, gate, model)
    good = [engine.submit(rows(model, seed)) for seed in range(5)]
    bad = engine.submit([Row(model.card.digest, "shape", 10, 7)])
    both = engine.submit([*rows(model, 3), Row(model.card.digest, "shape", 10, 7)])
    gate.let()
    for request in good:
        assert request.future.result(SECONDS)[0].shape == (32, 32, 1)
    for request in (bad, both):
        with pytest.raises(CgnInputError, match="out of range"):
            request.future.result(SECONDS)
    assert engine.submit(rows(model, 8)).future.result(SECONDS)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[...] DefaultCPUAllocator: can't allocate memory: 1 byte")]
)
def test_a_pass_without_memory_fails_with_its_reason_and_the_next_one_is_served(
    engine: Engine, gate: Gate, model: CGN, error: Exception
) -> None:
    requests = [busy(engine, gate, model)]
    gate.error = error
    gate.let()
    with pytest.raises(OutOfMemory, match="too little memory for rows of shape"):
        requests[0].future.result(SECONDS)
    assert engine.submit(rows(model, 2)).future.result(SECONDS)


def test_a_dead_thread_is_replaced_and_nobody_hangs(
    engine: Engine, gate: Gate, model: CGN, deaths: list[BaseException]
) -> None:
    running = busy(engine, gate, model)
    queued = engine.submit(rows(model, *range(40)))
    gate.error = SystemExit("killed")
    gate.let()
    for request in (running, queued):
        with pytest.raises(EngineStopped, match="died and was replaced"):
            request.future.result(SECONDS)
    assert len(engine.submit(rows(model, *range(40))).future.result(SECONDS)) == 40
    assert [str(death) for death in deaths] == ["killed"]
    assert engine.pass_seconds() == 0


def test_stopping_fails_what_is_open_and_takes_no_more(engine: Engine, gate: Gate, model: CGN) -> None:
    requests = [busy(engine, gate, model), engine.submit(rows(model, 1))]
    assert engine.pass_seconds() > 0
    engine.stop()
    for request in requests:
        with pytest.raises(EngineStopped):
            request.future.result(0)
    with pytest.raises(EngineStopped):
        engine.submit(rows(model, 2))


def test_rows_of_a_model_that_goes_away_fail(engine: Engine, gate: Gate, model: CGN) -> None:
    first = busy(engine, gate, model)
    queued = engine.submit(rows(model, *range(40)))
    engine.remove(model.card.digest)
    gate.let()
    assert first.future.result(SECONDS)
    with pytest.raises(CgnInputError, match="was unloaded"):
        queued.future.result(SECONDS)
