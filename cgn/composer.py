"""The composer: the only mechanism that is not learned."""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

A = TypeVar("A", torch.Tensor, NDArray[np.float32])


def compose(m: A, f: A, b: A) -> A:
    """Returns the composite x = m * f + (1 - m) * b (equation 2).

    Args:
        m: mask in [0, 1], one channel, broadcast over the colour channels of f and b.
        f: foreground (object texture) in [-1, 1].
        b: background in [-1, 1], shaped like f.

    Returns:
        The composite x in [-1, 1], shaped like f.
    """
    return m * f + (1 - m) * b
