"""The composer: combines mask, foreground and background. It is analytic and has no weights."""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Array = TypeVar("Array", torch.Tensor, NDArray[np.float32])


def compose(m: Array, f: Array, b: Array) -> Array:
    """Returns the composite x = m * f + (1 - m) * b (equation 2).

    Args:
        m: mask in [0, 1], one channel, broadcast over the colour channels of f and b.
        f: foreground (object texture) in [-1, 1].
        b: background in [-1, 1], shaped like f.

    Returns:
        The composite x in [-1, 1], shaped like f.
    """
    return m * f + (1 - m) * b
