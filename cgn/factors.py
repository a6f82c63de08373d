"""Factors: the label and noise that are the input of one mechanism, and the arrays that encode them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cgn import noise
from cgn.errors import CgnInputError
from cgn.noise import Mechanism

Label = int | tuple[tuple[int, float], ...]  # a class index, or a mixture of classes from `mixture`
Path = Literal["linear", "spherical"]

_WEIGHTS_TOLERANCE = 1e-4  # allowed error of a mixture's sum: weights may be float32, or have four digits


@dataclass(frozen=True, slots=True)
class NoiseInterpolation:
    """Interpolates a factor's noise between the noise of its own seed and the noise of another seed.

    Attributes:
        to_seed: the other seed, in [0, 2^64 - 1].
        t: position between the two noise vectors, in [0, 1]: 0 is the own seed's noise, 1 the other seed's.
        path: "linear" or "spherical". The spherical path follows the arc between the two vectors, so that
            the norm stays typical of noise (Shoemake 1985).

    Raises:
        CgnInputError: a value is invalid.
    """

    to_seed: int
    t: float
    path: Path = "linear"

    def __post_init__(self) -> None:
        noise.check_seed(self.to_seed)
        if not 0 <= self.t <= 1:
            raise CgnInputError("t", f"{self.t} is not within 0 to 1")
        if self.path not in ("linear", "spherical"):
            raise CgnInputError("path", f'{self.path!r} is neither "linear" nor "spherical"')


@dataclass(frozen=True, eq=False)
class Factor:
    """Label and noise of one mechanism.

    Attributes:
        label: class index in [0, classes), or a `mixture` of classes.
        seed: seed of the noise u and of a texture's roll, in [0, 2^64 - 1].
        u: the noise vector itself instead of a seed, float32 (latent,), with any truncation applied.
        roll: cyclic shift of a texture (rows down, columns right), each in [0, resolution). None: drawn from
            the seed, or no shift if u is given.
        interpolation: interpolates the noise towards that of another seed; the roll does not change.
        truncation: factor that scales noise drawn within [-2, 2], in (0, 1]; 1 if the family has none.

    Raises:
        CgnInputError: not exactly one of seed and u is given, or a value is invalid.
    """

    label: Label
    seed: int | None = None
    u: NDArray[np.float32] | None = None
    roll: tuple[int, int] | None = None
    interpolation: NoiseInterpolation | None = None
    truncation: float = 1.0

    def __post_init__(self) -> None:
        if (self.seed is None) == (self.u is None):
            raise CgnInputError("seed", "give exactly one of seed and u")
        if self.seed is not None:
            noise.check_seed(self.seed)
        elif self.interpolation:
            raise CgnInputError("interpolation", "needs a seed to start from; give a seed instead of u")
        if not 0 < self.truncation <= 1:
            raise CgnInputError("truncation", f"{self.truncation} must be above 0, at most 1")

    def shift(self, mechanism: Mechanism, resolution: int) -> tuple[int, int]:
        """Returns the roll of a texture (rows down, columns right), each in [0, resolution)."""
        ((down, right),) = shifts_of([self], mechanism, resolution).tolist()
        return down, right


def mixture(weights: Mapping[int, float]) -> Label:
    """Returns the label of a mixture of classes. Equal mixtures give equal labels.

    Args:
        weights: weight by class index, each 0 or more, with sum 1.

    Raises:
        CgnInputError: no weights, a negative weight, or a sum that differs from 1 by more than 1e-4.
    """
    if not weights:
        raise CgnInputError("mixture", "has no classes; give at least one with its weight")
    for label, weight in weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise CgnInputError("mixture", f"the weight of class {label} is {weight}; give 0 or more")
    total = math.fsum(weights.values())
    if abs(total - 1) > _WEIGHTS_TOLERANCE:
        raise CgnInputError("mixture", f"the weights sum to {total:g}; give weights that sum to 1")
    parts = tuple((label, weight / total) for label, weight in sorted(weights.items()) if weight)
    return parts[0][0] if len(parts) == 1 else parts


def check_label(label: Label, classes: int) -> None:
    """Raises CgnInputError if a class index of the label is not within 0 to classes - 1."""
    for index in [label] if isinstance(label, int) else [part for part, _ in label]:
        if not 0 <= index < classes:
            raise CgnInputError("label", f"{index} is out of range [0, {classes - 1}]")


def weights_of(labels: Sequence[Label], classes: int) -> NDArray[np.float32]:
    """Returns N labels as weights over the classes, float32 (N, classes); each row sums to 1."""
    y_NC = np.zeros((len(labels), classes), np.float32)
    for row, label in zip(y_NC, labels, strict=True):
        for index, weight in [(label, 1.0)] if isinstance(label, int) else label:
            row[index] = weight
    return y_NC


def noise_of(factors: Sequence[Factor], latent: int, *, truncated: bool = False) -> NDArray[np.float32]:
    """Returns the noise u of N factors, float32 (N, latent).

    Args:
        factors: the factors.
        latent: length of the noise.
        truncated: whether the family draws noise within [-2, 2] and supports truncation.

    Raises:
        CgnInputError: u has the wrong length or is not finite, or a factor has a truncation that the family
            does not support.
    """
    u_NL = np.empty((len(factors), latent), np.float32)
    seeded = [i for i, factor in enumerate(factors) if factor.seed is not None]
    if seeded:
        u_NL[seeded] = noise.noise([factors[i].seed or 0 for i in seeded], latent, truncated=truncated)
    for i, factor in enumerate(factors):
        if factor.u is not None:
            u = np.asarray(factor.u, dtype=np.float32)
            if u.shape != (latent,) or not np.isfinite(u).all():
                raise CgnInputError("u", f"must be {latent} finite numbers, got shape {u.shape}")
            u_NL[i] = u
            continue
        if factor.interpolation:
            (end_L,) = noise.noise([factor.interpolation.to_seed], latent, truncated=truncated)
            u_NL[i] = _interpolated(factor.interpolation, u_NL[i], end_L)
        if factor.truncation != 1:
            if not truncated:
                raise CgnInputError("truncation", "is not supported by this family of models; omit it")
            u_NL[i] *= np.float32(factor.truncation)
    return u_NL


def shifts_of(factors: Sequence[Factor], mechanism: Mechanism, resolution: int) -> NDArray[np.int64]:
    """Returns the cyclic shifts (rows down, columns right) of N factors, (N, 2), each in [0, resolution).

    The shifts of masks and references are 0.

    Raises:
        CgnInputError: a factor's roll is out of range.
    """
    shift_N2 = np.zeros((len(factors), 2), np.int64)
    if mechanism not in ("texture", "background"):
        return shift_N2
    seeded = [i for i, factor in enumerate(factors) if factor.roll is None and factor.seed is not None]
    if seeded:
        shift_N2[seeded] = noise.rolls([factors[i].seed or 0 for i in seeded], mechanism, resolution)
    for i, factor in enumerate(factors):
        if factor.roll is not None:
            if not all(0 <= shift < resolution for shift in factor.roll):
                raise CgnInputError("roll", f"{factor.roll} must be two shifts in [0, {resolution - 1}]")
            shift_N2[i] = factor.roll
    return shift_N2


def _interpolated(
    interpolation: NoiseInterpolation, start_L: NDArray[np.float32], end_L: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Returns the noise at position t between two noise vectors; exactly one of them at t = 0 and t = 1."""
    t = interpolation.t
    if t in (0, 1):
        return end_L if t else start_L
    start, end = start_L.astype(np.float64), end_L.astype(np.float64)
    start_weight, end_weight = 1 - t, t
    if interpolation.path == "spherical":
        cosine = start @ end / (np.linalg.norm(start) * np.linalg.norm(end))
        angle = np.arccos(np.clip(cosine, -1, 1))
        if np.sin(angle) > 1e-6:  # else the vectors are parallel, or opposite without a unique arc
            start_weight, end_weight = (
                np.sin(start_weight * angle) / np.sin(angle),
                np.sin(end_weight * angle) / np.sin(angle),
            )
    return (start_weight * start + end_weight * end).astype(np.float32)
