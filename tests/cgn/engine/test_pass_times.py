"""Estimates of forward passes."""

import pytest

from cgn.engine.pass_times import PassTimes
from cgn.engine.requests import BatchKey

KEY = BatchKey("digest", "shape")


def test_the_estimate_is_the_fastest_pass() -> None:
    times = PassTimes()
    assert times.lower_bound([KEY] * 100) == times.shortest(KEY) == 0
    for seconds in (0.5, 0.4, 0.8):
        times.add(KEY, seconds, rows=10, max_rows=10)
    assert times.lower_bound([KEY]) == times.shortest(KEY) == 0.4
    assert times.lower_bound([KEY] * 100) == pytest.approx(4.0)
    times.forget("digest")
    assert times.lower_bound([KEY] * 100) == times.shortest(KEY) == 0


def test_passes_side_by_side_cost_a_share_of_their_duration() -> None:
    times = PassTimes()
    other = BatchKey("digest", "texture")
    for key in (KEY, other):
        times.add(key, 0.4, rows=10, max_rows=10, slots=2)
    assert times.row_seconds(KEY) == pytest.approx(0.02)
    assert times.lower_bound([KEY]) == 0.4  # alone it is done no sooner
    assert times.lower_bound([KEY, other]) == 0.4  # side by side
    assert times.lower_bound([KEY] * 30 + [other]) == pytest.approx(0.8)


def test_the_pace_includes_the_time_between_full_passes() -> None:
    times = PassTimes()
    assert times.pace() == 1
    times.add(KEY, 0.4, rows=10, max_rows=10)
    times.add(KEY, 0.4, rows=10, max_rows=10, since_last=0.6)
    assert times.pace() == pytest.approx(1.5)
    times.add(KEY, 0.4, rows=5, max_rows=10, since_last=5.0)  # not full
    times.add(KEY, 0.4, rows=10, max_rows=10)  # nothing had waited
    assert times.pace() == pytest.approx(1.5)
    times.add(KEY, 0.7, rows=10, max_rows=10, since_last=0.8)
    assert times.pace() == pytest.approx(2.0)


def test_the_pace_is_never_below_one() -> None:
    times = PassTimes()
    times.add(KEY, 0.4, rows=10, max_rows=10, since_last=0.3)
    assert times.pace() == 1
