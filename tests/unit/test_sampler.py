"""The sampler: sample i depends on the seed and i alone, labels are uniform and independent."""

import numpy as np
from scipy import stats

from cgn.noise import MECHANISMS
from cgn.sampler import counterfactuals


def labels_and_seeds(start: int, stop: int, seed: int = 3) -> list[tuple[int, int | None]]:
    return [(c[m].label, c[m].seed) for c in counterfactuals(seed, start, stop, 10) for m in MECHANISMS]


def test_a_part_of_the_stream_is_the_stream_s_part() -> None:
    assert labels_and_seeds(0, 50)[3 * 20 :] == labels_and_seeds(20, 50)
    assert labels_and_seeds(0, 50) != labels_and_seeds(0, 50, seed=4)


def test_labels_are_uniform_and_independent() -> None:
    labels = np.array([[c[m].label for m in MECHANISMS] for c in counterfactuals(0, 0, 20_000, 10)])
    for column in labels.T:
        assert stats.chisquare(np.bincount(column, minlength=10)).pvalue > 0.001
    for a, b in ((0, 1), (0, 2), (1, 2)):
        table = np.zeros((10, 10))
        np.add.at(table, (labels[:, a], labels[:, b]), 1)
        assert stats.chi2_contingency(table).pvalue > 0.001


def test_no_seed_is_shared() -> None:
    seeds = [seed for _, seed in labels_and_seeds(0, 5000)]
    assert len(set(seeds)) == len(seeds)
