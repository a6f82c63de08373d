"""Causes: what one mechanism is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cgn import noise
from cgn.errors import CgnInputError
from cgn.noise import Mechanism


@dataclass(frozen=True, eq=False)
class Factor:
    """Label and noise of one mechanism.

    Attributes:
        label: class index in [0, classes).
        seed: seed of the noise u and of a texture's roll, in [0, 2^64 - 1].
        u: the noise itself, float32 of shape (latent,), instead of a seed.
        roll: a texture's cyclic shift (rows down, columns right), each in [0, resolution). Given
            outright it replaces the seed's; beside a given u it defaults to no shift.

    Raises:
        CgnInputError: neither or both of seed and u are given, or the seed is out of range.
    """

    label: int
    seed: int | None = None
    u: NDArray[np.float32] | None = None
    roll: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.seed is None) == (self.u is None):
            raise CgnInputError("seed", "give either a seed or the noise u itself, not both or neither")
        if self.seed is not None:
            noise.check_seed(self.seed)

    def shift(self, mechanism: Mechanism, resolution: int) -> tuple[int, int]:
        """The texture's roll (rows down, columns right), each in [0, resolution)."""
        if self.roll is not None:
            if not all(0 <= step < resolution for step in self.roll):
                raise CgnInputError("roll", f"{self.roll} must be two steps in [0, {resolution - 1}]")
            return self.roll
        return (0, 0) if self.seed is None else noise.roll(self.seed, mechanism, resolution)


def noise_of(factors: Sequence[Factor], latent: int) -> NDArray[np.float32]:
    """u of N factors, float32 of shape (N, latent).

    Raises:
        CgnInputError: a u given outright has the wrong length or is not finite.
    """
    u_NL = np.empty((len(factors), latent), np.float32)
    seeded = [i for i, factor in enumerate(factors) if factor.seed is not None]
    if seeded:
        u_NL[seeded] = noise.noise([factors[i].seed or 0 for i in seeded], latent)
    for i, factor in enumerate(factors):
        if factor.u is not None:
            u = np.asarray(factor.u, dtype=np.float32)
            if u.shape != (latent,) or not np.isfinite(u).all():
                raise CgnInputError("u", f"must be {latent} finite numbers, got shape {u.shape}")
            u_NL[i] = u
    return u_NL
