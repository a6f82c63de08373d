"""Factors: labels that are mixtures, noise on the way between two seeds, truncation."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cgn.engine import Row
from cgn.errors import CgnInputError
from cgn.factors import Factor, NoiseInterpolation, check_label, mixture, noise_of, weights_of
from cgn.noise import noise


def test_equal_mixtures_are_one_label() -> None:
    assert mixture({3: 0.25, 1: 0.75}) == mixture({1: 0.75, 3: 0.25, 7: 0.0}) == ((1, 0.75), (3, 0.25))
    assert mixture({4: 1.0}) == mixture({4: 1.0, 2: 0.0}) == 4
    thirds = mixture({0: 0.3333, 1: 0.3333, 2: 0.3333})
    assert isinstance(thirds, tuple)
    assert math.fsum(weight for _, weight in thirds) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({}, "has no classes"),
        ({1: 0.5, 2: 0.4}, "sum to 0.9"),
        ({1: 1.5, 2: -0.5}, "the weight of class 2 is -0.5"),
        ({1: math.nan}, "the weight of class 1 is nan"),
    ],
)
def test_a_mixture_of_other_weights_is_refused(weights: dict[int, float], says: str) -> None:
    with pytest.raises(CgnInputError, match=says) as caught:
        mixture(weights)
    assert caught.value.field == "mixture"


def test_labels_are_weights_over_the_classes() -> None:
    labels = [2, mixture({0: 0.75, 3: 0.25})]
    assert weights_of(labels, 4).tolist() == [[0, 0, 1, 0], [0.75, 0, 0, 0.25]]
    for label in (4, -1, mixture({1: 0.5, 4: 0.5})):
        with pytest.raises(CgnInputError, match=r"out of range \[0, 3\]"):
            check_label(label, 4)
    check_label(labels[1], 4)


def test_truncated_noise_is_normal_within_two_deviations_and_goes_with_the_plain_one() -> None:
    seeds = range(200)
    plain, truncated = noise(seeds, 128), noise(seeds, 128, truncated=True)
    assert truncated.dtype == np.float32
    assert 1.9 < np.abs(truncated).max() <= 2
    assert stats.kstest(truncated.ravel(), stats.truncnorm(-2, 2).cdf).pvalue > 0.001
    assert np.diff(truncated.ravel()[plain.ravel().argsort()]).min() > -1e-6  # in one order, but for rounding


def test_truncation_scales_the_noise_of_families_that_have_it() -> None:
    whole, half = noise_of([Factor(0, 7), Factor(0, 7, truncation=0.5)], 128, truncated=True)
    np.testing.assert_array_equal(half, whole * np.float32(0.5))
    with pytest.raises(CgnInputError, match="not supported by this family of models") as caught:
        noise_of([Factor(0, 7, truncation=0.5)], 32)
    assert caught.value.field == "truncation"
    for bad in (0.0, 1.5, -1.0, math.nan):
        with pytest.raises(CgnInputError, match="must be above 0, at most 1"):
            Factor(0, 7, truncation=bad)


def test_interpolation_leads_from_one_seed_s_noise_to_another_s() -> None:
    start, end = noise([1, 2], 32)

    def at(t: float, path: Any = "linear") -> Any:
        return noise_of([Factor(0, 1, interpolation=NoiseInterpolation(2, t, path))], 32)[0]

    for path in ("linear", "spherical"):
        np.testing.assert_array_equal(at(0, path), start)
        np.testing.assert_array_equal(at(1, path), end)
    np.testing.assert_allclose(at(0.25), 0.75 * start + 0.25 * end, atol=1e-6)
    # Along the arc the angle grows evenly, and the length goes evenly from one's to the other's or nearly so.
    unit_start, unit_end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    angle = np.arccos(unit_start @ unit_end)
    equal_lengths = noise_of([Factor(0, 1, interpolation=NoiseInterpolation(2, 0.5, "spherical"))], 32)[0]
    np.testing.assert_allclose(equal_lengths, (start + end) / (2 * np.cos(angle / 2)), atol=1e-5)
    assert np.linalg.norm(equal_lengths) > np.linalg.norm(at(0.5))


def test_interpolation_to_the_same_seed_changes_nothing() -> None:
    same = noise_of([Factor(0, 5, interpolation=NoiseInterpolation(5, 0.3, "spherical")), Factor(0, 5)], 32)
    np.testing.assert_allclose(same[0], same[1], atol=1e-6)


def test_impossible_interpolations_are_refused() -> None:
    for arguments, field in (((-1, 0.5), "seed"), ((1, 1.01), "t"), ((1, math.nan), "t")):
        with pytest.raises(CgnInputError) as caught:
            NoiseInterpolation(*arguments)
        assert caught.value.field == field
    with pytest.raises(CgnInputError, match="neither"):
        NoiseInterpolation(1, 0.5, "straight")  # type: ignore[arg-type]
    with pytest.raises(CgnInputError, match="give a seed instead of u"):
        Factor(0, u=np.zeros(32, np.float32), interpolation=NoiseInterpolation(1, 0.5))


def test_rows_of_other_factors_are_other_rows() -> None:
    row = Row("blake2b:" + "0" * 32, "shape", 3, 7)
    others: list[dict[str, Any]] = [
        {"label": mixture({3: 0.5, 4: 0.5})},
        {"label": mixture({3: 0.25, 4: 0.75})},
        {"interpolation": NoiseInterpolation(8, 0.5)},
        {"interpolation": NoiseInterpolation(8, 0.5, "spherical")},
        {"truncation": 0.5},
    ]
    rows = [row, *(row._replace(**changes) for changes in others)]
    assert len(set(rows)) == len(rows)
    assert (rows[1].factor.label, rows[3].factor.interpolation) == (
        ((3, 0.5), (4, 0.5)),
        NoiseInterpolation(8, 0.5),
    )
