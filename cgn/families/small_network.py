"""Served networks of small images: the batch sizes of their forward passes."""

from typing import ClassVar

import torch
import torch.nn.functional as F

from cgn.families.network import Network
from cgn.noise import Mechanism

# Batch sizes beyond which the cost per row stops falling.
_FULL_PASS = {torch.float32: 32, torch.bfloat16: 64}
_SMALLER_PASSES = (8, 12, 16, 24)  # smaller batches for light load, so that little padding is computed


class SmallNetwork(Network):
    """A network whose forward passes run side by side, with smaller batches under light load.

    Args:
        classes, resolution: see Network.
        dtype: type of weights and maps, float32 or bfloat16.
    """

    small: ClassVar[bool] = True

    def __init__(self, classes: int, resolution: int, dtype: torch.dtype) -> None:
        super().__init__(classes, resolution)
        self.batch_rows = _FULL_PASS[dtype]
        self._sizes: dict[tuple[Mechanism, int], list[int]] = {}

    def pass_rows(self, mechanism: Mechanism, rows: int) -> int:
        # Bits may depend on the number of threads, which is a property of the calling thread.
        key = mechanism, torch.get_num_threads()
        if key not in self._sizes:
            self._sizes[key] = self._equal_sizes(mechanism)
        return next((size for size in self._sizes[key] if size >= rows), self.batch_rows)

    def _equal_sizes(self, mechanism: Mechanism) -> list[int]:
        """Returns the smaller sizes whose rows equal a full batch's to the bit, tried on this device."""
        device = next(self.buffers()).device
        generator = torch.Generator().manual_seed(0)
        u_NL = torch.randn(self.batch_rows, self.latent, generator=generator).to(device)
        y_NC = F.one_hot(torch.arange(self.batch_rows) % self.classes, self.classes).float().to(device)
        shift_N2 = torch.randint(self.resolution, (self.batch_rows, 2), generator=generator).to(device)
        full = self.draw(mechanism, u_NL, y_NC, shift_N2, 1.0)

        def equal(some: slice) -> bool:
            rows = self.draw(mechanism, u_NL[some], y_NC[some], shift_N2[some], 1.0)
            return torch.equal(rows, full[some])

        return [k for k in _SMALLER_PASSES if equal(slice(None, k)) and equal(slice(-k, None))]
