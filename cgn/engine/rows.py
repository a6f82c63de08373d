"""The unit of work: one row of one mechanism."""

from typing import NamedTuple

from cgn.factors import Factor, Label, NoiseInterpolation
from cgn.noise import Mechanism

# Part of every cache key. Increase it when the same factor may give different pixels than before: after a
# change of the noise, of a mechanism or of the pixel levels.
ROW_SCHEMA = 5


class Row(NamedTuple):
    """One mechanism's output for one factor; equal rows have equal pixels.

    Attributes:
        digest: digest of the model's weights.
        mechanism: one of the model's mechanisms.
        label: class index, or a mixture of classes (cgn.factors).
        seed: seed of the noise and of a texture's roll.
        interpolation: interpolates the noise towards that of another seed; None: no interpolation.
        truncation: truncation of the noise, in (0, 1].
    """

    digest: str
    mechanism: Mechanism
    label: Label
    seed: int
    interpolation: NoiseInterpolation | None = None
    truncation: float = 1.0

    @property
    def factor(self) -> Factor:
        """The factor of the row."""
        return Factor(self.label, self.seed, interpolation=self.interpolation, truncation=self.truncation)
