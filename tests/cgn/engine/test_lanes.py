"""Lanes: passes of small networks run side by side, with the same bits, and do not harm each other."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgn.engine import Engine, EngineStopped, OutOfMemory, Row
from cgn.model import CGN
from cgn.noise import MECHANISMS
from cgn.store import checkpoint
from testing.random_model import publish_random, publish_random_imagenet

SECONDS = 60.0


@pytest.fixture
def model(tmp_path: Path) -> CGN:
    publish_random(tmp_path, "tiny")
    return checkpoint.load(tmp_path, "tiny")


@pytest.fixture
def deaths() -> list[BaseException]:
    return []


@pytest.fixture
def engine(model: CGN, deaths: list[BaseException]) -> Iterator[Engine]:
    engine = Engine(threads=2, on_death=deaths.append)
    engine.add(model)
    yield engine
    engine.close()


class Passes:
    """Watches a model's forward passes; each waits until `together` have begun, at most half a second."""

    def __init__(self, model: CGN, together: int) -> None:
        self.most = 0  # highest number at the same time
        self.errors: dict[str, BaseException] = {}  # by mechanism: raised by its next pass
        self._now = 0
        self._changed = threading.Condition()
        self._together = together
        self._rows = model.rows
        model.rows = self._watched  # type: ignore[method-assign]

    def _watched(self, mechanism: Any, factors: Any, at_once: int | None = None) -> Any:
        with self._changed:
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self._together, 0.5)
        try:
            if error := self.errors.pop(mechanism, None):
                raise error
            return self._rows(mechanism, factors, at_once)
        finally:
            with self._changed:
                self._now -= 1


def three(model: CGN, count: int = 40) -> list[list[Row]]:
    """Rows of every mechanism: more passes than the engine has threads."""
    return [
        [Row(model.card.digest, k, i % model.network.classes, i) for i in range(count)] for k in MECHANISMS
    ]


def test_as_many_passes_run_at_once_as_there_are_threads(engine: Engine, model: CGN) -> None:
    passes = Passes(model, together=2)
    requests = [engine.submit(rows) for rows in three(model)]
    assert [len(request.future.result(SECONDS)) for request in requests] == [40, 40, 40]
    assert passes.most == 2
    assert engine.pass_seconds() == 0


def test_a_lane_does_not_wait_for_another_one(engine: Engine, model: CGN) -> None:
    held, compute_rows = threading.Event(), model.rows

    def hold_shapes(mechanism: Any, factors: Any, at_once: int | None = None) -> Any:
        if mechanism == "shape":
            assert held.wait(SECONDS)
        return compute_rows(mechanism, factors, at_once)

    model.rows = hold_shapes  # type: ignore[method-assign]
    shape, *others = [engine.submit(rows) for rows in three(model, 10)]
    assert [len(request.future.result(SECONDS)) for request in others] == [10, 10]
    assert not shape.future.done() and engine.pass_seconds() > 0
    held.set()
    assert len(shape.future.result(SECONDS)) == 10


def test_pixels_are_those_of_an_engine_with_one_thread(engine: Engine, model: CGN) -> None:
    one = Engine(threads=1)
    one.add(model)
    try:
        for rows in three(model):
            pixels = engine.submit(rows).future.result(SECONDS), one.submit(rows).future.result(SECONDS)
            assert all(np.array_equal(a, b) for a, b in zip(*pixels, strict=True))
    finally:
        one.close()


def test_large_networks_run_alone(tmp_path: Path) -> None:
    publish_random_imagenet(tmp_path, "zoo")
    zoo = checkpoint.load(tmp_path, "zoo")
    passes = Passes(zoo, together=2)
    engine = Engine(threads=2)
    engine.add(zoo)
    try:
        for request in [engine.submit(rows) for rows in three(zoo, 3)]:
            request.future.result(SECONDS)
    finally:
        engine.close()
    assert passes.most == 1


def test_a_large_pass_is_alone_among_small_ones(tmp_path: Path, engine: Engine, model: CGN) -> None:
    publish_random_imagenet(tmp_path, "zoo")
    zoo = checkpoint.load(tmp_path, "zoo")
    engine.add(zoo)
    now, overlaps, changed = list[str](), list[list[str]](), threading.Lock()

    def watched(one: CGN) -> Any:
        compute_rows, name = one.rows, one.card.name

        def run(mechanism: Any, factors: Any, at_once: int | None = None) -> Any:
            with changed:
                now.append(name)
                overlaps.append(list(now))
            try:
                return compute_rows(mechanism, factors, at_once)
            finally:
                with changed:
                    now.remove(name)

        return run

    for one in (model, zoo):
        one.rows = watched(one)  # type: ignore[method-assign]
    requests = [engine.submit(rows) for _ in range(3) for rows in (*three(model), *three(zoo, 2))]
    more = [engine.submit(rows) for rows in (*three(zoo, 4), *three(model, 50))]
    for request in [*requests, *more]:
        request.future.result(SECONDS)
    assert ["zoo"] in overlaps and ["tiny", "tiny"] in overlaps
    assert not [names for names in overlaps if "zoo" in names and len(names) > 1]


def test_a_failing_pass_does_not_fail_another_one(engine: Engine, model: CGN) -> None:
    passes = Passes(model, together=2)
    passes.errors["shape"] = OutOfMemory("none left")
    shape, *others = [engine.submit(rows) for rows in three(model, 10)]
    with pytest.raises(OutOfMemory, match="none left"):
        shape.future.result(SECONDS)
    assert [len(request.future.result(SECONDS)) for request in others] == [10, 10]


def test_the_engine_survives_a_dying_thread(engine: Engine, model: CGN, deaths: list[BaseException]) -> None:
    passes = Passes(model, together=2)
    passes.errors["shape"] = SystemExit("killed")
    requests = [engine.submit(rows) for rows in three(model)]
    with pytest.raises(EngineStopped, match="died and was replaced"):
        requests[0].future.result(SECONDS)
    again = [engine.submit(rows) for rows in three(model)]
    assert [len(request.future.result(SECONDS)) for request in again] == [40, 40, 40]
    assert [str(death) for death in deaths] == ["killed"]


def test_rows_in_progress_when_another_lane_died_are_computed_again(
    engine: Engine, model: CGN, deaths: list[BaseException]
) -> None:
    held, compute_rows, killed = threading.Event(), model.rows, threading.Event()

    def run(mechanism: Any, factors: Any, at_once: int | None = None) -> Any:
        if mechanism == "texture" and not killed.is_set():
            killed.set()
            raise SystemExit("killed")
        if mechanism == "shape" and not held.is_set():
            assert held.wait(SECONDS)
        return compute_rows(mechanism, factors, at_once)

    model.rows = run  # type: ignore[method-assign]
    shapes, textures, _ = three(model, 5)
    lost = [engine.submit(shapes), engine.submit(textures)]
    for request in lost:
        with pytest.raises(EngineStopped, match="died and was replaced"):
            request.future.result(SECONDS)
    again = [engine.submit(shapes), engine.submit(textures)]
    held.set()
    for request, rows in zip(again, (shapes, textures), strict=True):
        expected = compute_rows(rows[0].mechanism, [row.factor for row in rows])
        pixels = np.stack(request.future.result(SECONDS)).transpose(0, 3, 1, 2)
        assert np.array_equal(pixels, expected)
    assert len(deaths) == 1 and engine.pass_seconds() == 0
