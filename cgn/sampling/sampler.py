"""Labelled random factors for streams, banks and data sets: sample i depends on seed, policy and i alone.

So a data set can be split, resumed and repeated, and any part of it can be drawn on any machine. The factors
do not depend on the model: two models with the same seed draw their own rows of the same factors.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cgn.errors import CgnInputError
from cgn.factors import Factor
from cgn.noise import MECHANISMS, Mechanism, check_seed
from cgn.sampling.policy import Policy

# Second word of the Philox key; noise.py uses the small numbers for u and the rolls.
_STREAM = {mechanism: (1 << 32) + i for i, mechanism in enumerate(MECHANISMS)}
_BANK_STREAM = {mechanism: (2 << 32) + i for i, mechanism in enumerate(MECHANISMS)}
_WORDS = 4  # raw words per draw, one count of Philox4x64: a label, a seed or a row, and two for the jitter
_GROUP = 100  # shapes among which labels are permuted, in the authors' code

Indices = NDArray[np.int64]
Words = NDArray[np.uint64]  # of shape (draws, _WORDS)
Numbers = NDArray[np.float32]  # of shape (draws, 8), each in [0, 1)


@dataclass(frozen=True)
class Factors:
    """N factors of one mechanism, as arrays of shape (N,).

    Attributes:
        labels: class indices.
        seeds: seeds of noise and roll.
        rows: indices of these rows in the mechanism's bank; None if it has no bank.
        jitter: eight random numbers in [0, 1) for each row, (N, 8), for small changes (cgn.images.jitter);
            None for no changes.
    """

    labels: Indices
    seeds: Words
    rows: Indices | None = None
    jitter: Numbers | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def factors(self) -> list[Factor]:
        """Returns the factors as a list, for `CGN.rows`."""
        return [Factor(y, seed) for y, seed in zip(self.labels.tolist(), self.seeds.tolist(), strict=True)]


@dataclass(frozen=True)
class Sampler:
    """An endless stream of counterfactuals.

    Attributes:
        seed: seed of everything that is drawn, 0 to 2^64 - 1.
        classes: number of labels.
        policy: how samples are drawn.

    Raises:
        CgnInputError: an impossible seed, fewer rows in a bank than classes, one class and "other" labels.
    """

    seed: int
    classes: int
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.classes < 1 or (self.policy.labels == "other" and self.classes < 2):
            raise CgnInputError("classes", f"{self.classes} are too few for {self.policy.labels!r} labels")
        for name in ("bank_masks", "bank_textures", "bank_backgrounds"):
            rows = getattr(self.policy, name)
            if 0 < rows < self.classes:
                cure = f"give at least {self.classes}, or 0 for fresh rows"
                raise CgnInputError(name, f"{rows} rows cannot show {self.classes} classes; {cure}")

    def bank(self, mechanism: Mechanism) -> Factors:
        """Returns all rows of a mechanism's bank. Row j has label j % classes and a seed that depends on j.

        So a bank is the beginning of every larger bank with the same seed. Without a bank there are no rows.
        """
        source: Mechanism = mechanism if self.policy.varies(mechanism) else "shape"
        return self._bank_rows(source, np.arange(self.policy.bank_rows(mechanism), dtype=np.int64))

    def plan(self, start: int, stop: int) -> dict[Mechanism, Factors]:
        """Returns the factors of the samples ``start`` to ``stop - 1``, by mechanism.

        Raises:
            CgnInputError: not 0 <= start <= stop.
        """
        if not 0 <= start <= stop:
            raise CgnInputError(
                "start", f"{start} to {stop} is not a part of a stream; give 0 <= start <= stop"
            )
        sample = np.arange(start, stop, dtype=np.int64)
        draw = sample // self.policy.cf_ratio  # number of the shape
        first = start // self.policy.cf_ratio
        last = -(-stop // self.policy.cf_ratio)
        words = _words(self.seed, _STREAM["shape"], first, last)[draw - first]
        labels = draw % self.classes if self.policy.labels == "permuted" else self._any(words)
        shape = self._factors("shape", labels, words)
        plan: dict[Mechanism, Factors] = {"shape": shape}
        for mechanism in MECHANISMS[1:]:
            if not self.policy.varies(mechanism):
                plan[mechanism] = shape
                continue
            words = _words(self.seed, _STREAM[mechanism], start, stop)
            if self.policy.labels == "permuted":
                labels = self._permuted(mechanism, start, stop)
            elif self.policy.labels == "other":
                ahead = 1 + (words[:, 0] % np.uint64(self.classes - 1)).astype(np.int64)
                if self.policy.agreement:
                    # Decided by the high bits, which are almost independent of the remainder.
                    ahead[words[:, 0] * 2.0**-64 < self.policy.agreement] = 0
                labels = (shape.labels + ahead) % self.classes
            else:
                labels = self._any(words)
            plan[mechanism] = self._factors(mechanism, labels, words)
        return plan

    def _any(self, words: Words) -> Indices:
        return (words[:, 0] % np.uint64(self.classes)).astype(np.int64)

    def _factors(self, mechanism: Mechanism, labels: Indices, words: Words) -> Factors:
        """Returns factors with these labels: each a row of the bank with its label, or a new seed."""
        size = self.policy.bank_rows(mechanism)
        jitter = _numbers(words[:, 2:]) if self.policy.jitter else None
        if not size:
            return Factors(labels, words[:, 1], jitter=jitter)
        of_label = (size - 1 - labels) // self.classes + 1  # rows with this label
        nth = (words[:, 1] % of_label.astype(np.uint64)).astype(np.int64)
        return replace(self._bank_rows(mechanism, labels + self.classes * nth), jitter=jitter)

    def _bank_rows(self, mechanism: Mechanism, rows: Indices) -> Factors:
        seeds = _bank_seeds(self.seed, mechanism, self.policy.bank_rows(mechanism))
        return Factors(rows % self.classes, seeds[rows], rows)

    def _permuted(self, mechanism: Mechanism, start: int, stop: int) -> Indices:
        """Returns random permutations of each group's shape labels, one per counterfactual of a shape."""
        group = permuted_group(self.classes)
        block = group * self.policy.cf_ratio  # samples of a group
        first, last = start // block, -(-stop // block)
        words = _words(self.seed, _STREAM[mechanism], first * block, last * block)
        order = words[:, 0].reshape(-1, group, self.policy.cf_ratio).argsort(axis=1, kind="stable")
        labels: Indices = (order % self.classes).reshape(-1)[start - first * block : stop - first * block]
        return labels


def permuted_group(classes: int) -> int:
    """Returns the size of a group of shapes: 100, or the next multiple of the number of classes."""
    return classes * -(-_GROUP // classes)


def _words(seed: int, stream: int, start: int, stop: int) -> Words:
    """Returns the random words of the draws ``start`` to ``stop - 1`` of a stream."""
    key = np.array([seed, stream], dtype=np.uint64)
    words: Words = np.random.Philox(key=key, counter=start).random_raw((stop - start) * _WORDS)
    return words.reshape(-1, _WORDS)


def _numbers(words: Words) -> Numbers:
    """Returns eight numbers in [0, 1) per draw, of 16 bits each, from two words."""
    sixteen_bits = np.ascontiguousarray(words).astype("<u8", copy=False).view("<u2")
    return (sixteen_bits / np.float32(1 << 16)).astype(np.float32, copy=False)


@lru_cache(maxsize=len(MECHANISMS))
def _bank_seeds(seed: int, mechanism: Mechanism, rows: int) -> Words:
    """Returns the seeds of a bank's rows; cached, because streams are drawn in many small parts."""
    seeds = _words(seed, _BANK_STREAM[mechanism], 0, rows)[:, 1]
    seeds.setflags(write=False)
    return seeds
