"""Chooses the bundled digits: `CGN_DATA_DIR=... python -m cgn.data.bundled.make_subset` writes digits.npz.

8,000 digits come from MNIST's training digits 0 to 49,999 and 2,000 from 50,000 to 59,999, the training and
test digits of the double-colored and Wildlife variants. Each class is as frequent as in its part.
"""

import numpy as np
from numpy.typing import NDArray

from cgn.data.digits import BUNDLED, BUNDLED_FILE, BUNDLED_TRAIN, CLASSES, load_digits
from cgn.data.source import DataError

SEED = 2021
TEST = 2_000


def choose(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns sorted indices of `count` labels, with every class in its proportion."""
    shares = np.bincount(labels, minlength=CLASSES) * count / len(labels)
    counts = np.floor(shares).astype(int)
    counts[np.argsort(counts - shares, kind="stable")[: count - counts.sum()]] += 1  # largest remainders
    chosen = [
        rng.choice(np.flatnonzero(labels == label), counts[label], replace=False) for label in range(CLASSES)
    ]
    return np.sort(np.concatenate(chosen))


def main() -> None:
    digits = load_digits()
    if digits.source == BUNDLED:
        raise DataError("CGN_DATA_DIR", "choosing a subset needs the full MNIST; set it, or run `make data`")
    rng = np.random.Generator(np.random.Philox(SEED))
    train = choose(digits.train_labels[:50_000], BUNDLED_TRAIN, rng)
    test = 50_000 + choose(digits.train_labels[50_000:], TEST, rng)
    indices = np.concatenate([train, test])
    np.savez_compressed(
        BUNDLED_FILE,
        images=digits.train_images[indices],
        labels=digits.train_labels[indices].astype(np.uint8),
        indices=indices.astype(np.uint16),  # in MNIST's training file
    )
    print(f"{BUNDLED_FILE}: {len(indices)} digits, {BUNDLED_FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
