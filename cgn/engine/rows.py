"""The unit of work: one row of one mechanism."""

import hashlib
import struct
from dataclasses import dataclass

import torch

from cgn.noise import Mechanism

# Raise it whenever the same factor may give other pixels than before: noise, mechanisms, pixel levels.
ROW_SCHEMA = 1
# Another build or instruction set may round otherwise, by a level or in the last bit of a float.
_BUILD = f"{torch.__version__}|{torch.backends.cpu.get_cpu_capability()}"


@dataclass(frozen=True, slots=True)
class Row:
    """One mechanism's output for one factor; equal rows have equal pixels.

    Attributes:
        digest: digest of the model's weights.
        mechanism: which of its mechanisms.
        label: class index.
        seed: seed of the noise and of a texture's roll.
    """

    digest: str
    mechanism: Mechanism
    label: int
    seed: int

    def key(self, dtype: str, device: str) -> bytes:
        """Canonical 16-byte name of the row's pixels, for caches that outlive this process.

        Args:
            dtype: ``"uint8"`` or ``"float32"``.
            device: type of the device that computes it, ``"cpu"`` or ``"cuda"``.
        """
        text = f"{ROW_SCHEMA}|{_BUILD}|{device}|{self.digest}|{self.mechanism}|{dtype}|".encode()
        return hashlib.blake2b(text + struct.pack("<IQ", self.label, self.seed), digest_size=16).digest()
