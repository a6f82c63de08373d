"""Types of the pixels from which responses are built."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

DType = Literal["uint8", "float32"]
Pixels = NDArray[np.uint8] | NDArray[np.float32]  # HWC, or NHWC: levels 0 to 255, or values as drawn
