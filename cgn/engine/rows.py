"""The unit of work: one row of one mechanism."""

import hashlib
import json
from dataclasses import astuple
from typing import NamedTuple

import torch

from cgn.factors import Factor, Label, NoiseInterpolation
from cgn.noise import Mechanism

# To be raised whenever the same factor may give other pixels: changed noise, mechanisms or pixel levels.
ROW_SCHEMA = 5
# Another torch build or instruction set may round differently, by one level or the last bit of a float.
_BUILD = f"{torch.__version__}|{torch.backends.cpu.get_cpu_capability()}"


class Row(NamedTuple):
    """One mechanism's output for one factor; equal rows have equal pixels.

    Attributes:
        digest: digest of the model's weights.
        mechanism: one of the model's mechanisms.
        label: class index, or a mixture of classes (cgn.factors).
        seed: seed of the noise and of a texture's roll.
        interpolation: moves the noise towards another seed's; None: the seed's own noise.
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

    def key(self, dtype: str, computed_by: str) -> bytes:
        """Returns a canonical 16-byte name of the row's pixels, for caches that outlive this process.

        Args:
            dtype: ``"uint8"`` or ``"float32"``.
            computed_by: device type and precision, such as ``"cpu float32"``.
        """
        if isinstance(self.label, int) and self.interpolation is None and self.truncation == 1:
            factor = f"[{self.label}, {self.seed}, null, 1.0]"  # the same text as below, for most rows
        else:
            # JSON writes the shortest text that reads back as the same float: equal texts, equal values.
            interpolation = self.interpolation and astuple(self.interpolation)
            factor = json.dumps([self.label, self.seed, interpolation, self.truncation])
        text = f"{ROW_SCHEMA}|{_BUILD}|{computed_by}|{self.digest}|{self.mechanism}|{dtype}|{factor}"
        return hashlib.blake2b(text.encode(), digest_size=16).digest()
