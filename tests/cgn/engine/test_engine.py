"""Rows: the same factor gives the same pixels, to the bit, whatever it is batched with."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cgn.composer import compose
from cgn.engine import Batch, Engine, Row
from cgn.errors import CgnInputError
from cgn.factors import Factor
from cgn.model import CGN
from cgn.noise import MECHANISMS, Mechanism, noise, roll
from cgn.store import checkpoint
from testing.random_model import publish_random


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def model(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> CGN:
    root: Path = tmp_path_factory.mktemp("models")
    publish_random(root, "tiny", width=32)
    return checkpoint.load(root, "tiny", precision=request.param)


@pytest.fixture
def batches() -> list[Batch]:
    return []


@pytest.fixture
def engine(model: CGN, batches: list[Batch]) -> Iterator[Engine]:
    engine = Engine(threads=2, on_batch=batches.append)
    engine.add(model)
    yield engine
    engine.close()


def result(engine: Engine, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
    return engine.submit(rows).future.result()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_alone_or_among_256_others_the_pixels_are_the_same(
    engine: Engine, model: CGN, mechanism: Mechanism
) -> None:
    rows = [Row(model.card.digest, mechanism, i % 10, 1000 + i) for i in range(257)]
    together = result(engine, rows)
    for i in (0, 1, 7, 8, 31, 32, 63, 64, 100, 255, 256):
        (alone,) = result(engine, [rows[i]])
        assert alone.dtype == np.float32
        assert alone.shape == (32, 32, 1 if mechanism == "shape" else 3)
        assert np.array_equal(alone, together[i])
    assert not np.array_equal(together[0], together[10])  # same label, other seed


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_python_and_the_engine_give_the_same_bits(engine: Engine, model: CGN, mechanism: Mechanism) -> None:
    served = result(engine, [Row(model.card.digest, mechanism, i, i) for i in range(5)])
    rows = model.rows(mechanism, [Factor(i, i) for i in range(5)])
    assert np.array_equal(np.stack(served), rows.permute(0, 2, 3, 1))
    assert np.array_equal(rows[3:4], model.rows(mechanism, [Factor(3, 3)]))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_model_of_64_pixels_and_7_classes_gives_the_same_bits_too(
    engine: Engine, mechanism: Mechanism, tmp_path: Path
) -> None:
    publish_random(tmp_path, "birds", class_names=list("abcdefg"), resolution=64)
    birds = checkpoint.load(tmp_path, "birds")
    engine.add(birds)
    asked = [Row(birds.card.digest, mechanism, i % 7, i) for i in range(20)]
    served = np.stack(result(engine, asked))
    rows = birds.rows(mechanism, [Factor(row.label, row.seed) for row in asked])
    assert served.shape == (20, 64, 64, 1 if mechanism == "shape" else 3)
    assert np.array_equal(served, rows.permute(0, 2, 3, 1))


def test_batches_close_when_full_or_drained(engine: Engine, model: CGN, batches: list[Batch]) -> None:
    full = model.network.batch_rows
    rows = [Row(model.card.digest, "shape", 0, i) for i in range(full + 1)]
    result(engine, rows)
    engine.close()
    closed = {(batch.rows, batch.closed_by) for batch in batches}  # side by side, so whichever ends first
    assert len(batches) == 2 and closed == {(full, "full"), (1, "drained")}
    assert all(len(batch.queue_waits) == batch.rows and batch.forward_seconds > 0 for batch in batches)


def test_rows_of_an_unknown_model_are_refused(engine: Engine, model: CGN) -> None:
    with pytest.raises(CgnInputError, match="no resident model"):
        engine.submit([Row(model.card.digest, "shape", 0, 0), Row("blake2b:" + "0" * 32, "shape", 0, 0)])


def test_explicit_noise_and_roll_give_the_seed_s_row(model: CGN) -> None:
    seed = 42
    explicit = Factor(label=5, u=noise([seed], 32)[0], roll=roll(seed, "texture", 32))
    assert np.array_equal(model.rows("texture", [Factor(5, seed)]), model.rows("texture", [explicit]))
    still = Factor(label=5, u=noise([seed], 32)[0])
    moved = np.roll(model.rows("texture", [still]), explicit.roll or (0, 0), axis=(2, 3))
    assert np.array_equal(moved, model.rows("texture", [explicit]))


def test_the_texture_has_no_seam_where_it_was_rolled(model: CGN) -> None:
    # On a torus the step across the border is like any other step. Unrolled: a roll would hide the border.
    u = noise(range(20), 32)
    x = model.rows("background", [Factor(i % 10, u=u[i]) for i in range(20)]).numpy()
    # From one place of the last map to the next: the two pixels within a place begin equal.
    inside = np.abs(np.diff(x, axis=3)[..., 1::2]).mean()
    across = np.abs(x[..., 0] - x[..., -1]).mean()
    assert across < 1.2 * inside


def test_generate_composes_by_equation_2(model: CGN) -> None:
    out = model.generate([Factor(1, 1)], [Factor(2, 2)], [Factor(3, 3)])
    assert out.mask.shape == (1, 1, 32, 32)
    assert 0 <= float(out.mask.min()) <= float(out.mask.max()) <= 1
    assert np.allclose(out.composite, compose(out.mask, out.foreground, out.background))
    assert abs(float(out.composite.abs().max())) <= 1
    with pytest.raises(CgnInputError, match=r"label: 10 is out of range \[0, 9\]"):
        model.generate([Factor(10, 1)], [Factor(2, 2)], [Factor(3, 3)])
    with pytest.raises(CgnInputError, match="same number"):
        model.generate([], [], [])


def test_a_pass_has_its_lane_s_threads_whatever_other_threads_set(model: CGN) -> None:
    before, seen = torch.get_num_threads(), list[int]()
    engine = Engine(threads=8, on_batch=lambda batch: seen.append(torch.get_num_threads()))
    try:
        time.sleep(0.2)  # its threads have begun and wait for rows
        torch.set_num_threads(1)
        engine.add(model)
        result(engine, [Row(model.card.digest, "shape", 1, 2)])
    finally:
        torch.set_num_threads(before)
        engine.close()
    assert seen == [2]  # of the eight, which four lanes share
