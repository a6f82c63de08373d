"""Random labelled factors for whole data sets: sample i is a function of (seed, i) alone.

So a data set can be split, resumed and repeated at will.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cgn.factors import Factor
from cgn.noise import MECHANISMS, Mechanism, check_seed

# Second word of the Philox key; noise.py uses the small numbers for u and the rolls.
_STREAM = 1 << 32
_WORDS = 8  # raw words per sample: a label and a seed for each mechanism, and two spare
_WORDS_PER_COUNT = 4  # of Philox4x64


@dataclass(frozen=True)
class Counterfactual:
    """One factor per mechanism, labels and seeds all drawn independently and uniformly."""

    shape: Factor
    texture: Factor
    background: Factor

    def __getitem__(self, mechanism: Mechanism) -> Factor:
        factor: Factor = getattr(self, mechanism)
        return factor


def counterfactuals(seed: int, start: int, stop: int, classes: int) -> Iterator[Counterfactual]:
    """Samples ``start`` to ``stop - 1`` of the stream of ``seed`` (section 2.3: one label per mechanism)."""
    stream = np.random.Philox(
        key=np.array([check_seed(seed), _STREAM], dtype=np.uint64), counter=start * _WORDS // _WORDS_PER_COUNT
    )
    for _ in range(start, stop):
        words = [int(word) for word in stream.random_raw(_WORDS)]
        factors = {
            mechanism: Factor(label=words[2 * i] % classes, seed=words[2 * i + 1])
            for i, mechanism in enumerate(MECHANISMS)
        }
        yield Counterfactual(**factors)
