"""Seeds: the same u everywhere, normal, independent of what else is drawn."""

import numpy as np
import pytest
from scipy import stats

from cgn import noise
from cgn.errors import CgnInputError
from cgn.factors import Factor


def test_a_seed_means_these_numbers_for_ever() -> None:
    # Written down once; a change of library, device or code that moves them breaks every stored seed.
    u = noise.noise([0, 2**64 - 1], 3)
    assert u.dtype == np.float32
    assert u.tolist() == [
        [-2.2718842029571533, -0.701327919960022, -1.2189801931381226],
        [-0.7226691246032715, 0.5748710632324219, -0.22451747953891754],
    ]
    assert [noise.roll(7, m, 32) for m in noise.MECHANISMS] == [(29, 22), (13, 26), (18, 31)]


def test_quantile_is_the_normal_one() -> None:
    p = np.concatenate([np.linspace(1e-12, 1 - 1e-12, 20_001), [2.0**-54, 1 - 2.0**-53]])
    np.testing.assert_allclose(noise.normal_quantile(p), stats.norm.ppf(p), rtol=1e-12, atol=1e-14)


def test_u_is_standard_normal() -> None:
    u = noise.noise(range(4000), 32).ravel()
    assert stats.kstest(u, "norm").pvalue > 0.001
    # Neighbouring seeds share nothing.
    pairs = noise.noise(range(2000), 32)
    assert abs(np.corrcoef(pairs[:-1].ravel(), pairs[1:].ravel())[0, 1]) < 0.02


def test_a_seed_does_not_depend_on_its_neighbours_or_the_length() -> None:
    many = noise.noise([5, 6, 7], 32)
    assert np.array_equal(noise.noise([6], 32)[0], many[1])
    assert np.array_equal(noise.noise([6], 8)[0], many[1][:8])


def test_rolls_differ_by_mechanism_and_cover_the_picture() -> None:
    texture = [noise.roll(seed, "texture", 32) for seed in range(3000)]
    background = [noise.roll(seed, "background", 32) for seed in range(3000)]
    assert texture != background
    for axis in (0, 1):
        counts = np.bincount([roll[axis] for roll in texture], minlength=32)
        assert len(counts) == 32
        assert stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "7"])
def test_a_seed_out_of_range_is_refused(seed: object) -> None:
    with pytest.raises(CgnInputError, match=r"seed: .* \[0, 2\^64 - 1\]"):
        Factor(label=0, seed=seed)  # type: ignore[arg-type]


def test_a_factor_has_a_seed_or_noise_of_its_own() -> None:
    with pytest.raises(CgnInputError, match="seed"):
        Factor(label=0)
    with pytest.raises(CgnInputError, match="seed"):
        Factor(label=0, seed=1, u=np.zeros(32, np.float32))
