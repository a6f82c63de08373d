"""Growth of a process's memory: samples, and their slope with its 95 % interval."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy import stats

_EVERY_SECONDS = 0.5
_BLOCKS = 12


@dataclass(frozen=True)
class Slope:
    """Growth in bytes per second: estimate, and bounds of its 95 % interval."""

    estimate: float
    lowest: float
    highest: float

    @property
    def grows(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.lowest > 0


def slope(seconds: list[float], size: list[float]) -> Slope:
    """Fits a line to samples, at least 24.

    Consecutive samples are correlated, which would make the interval too narrow. So the line is fitted to the
    means of 12 blocks.
    """
    t, y = ([block.mean() for block in np.array_split(np.array(v), _BLOCKS)] for v in (seconds, size))
    line = stats.linregress(t, y)
    half = float(stats.t.ppf(0.975, _BLOCKS - 2) * line.stderr)
    return Slope(float(line.slope), float(line.slope) - half, float(line.slope) + half)


class Memory:
    """Samples a process's anonymous memory (RssAnon) in a thread until the end of `with`."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seconds: list[float] = []
        self.bytes: list[float] = []

    def since(self, moment: float) -> Slope:
        """Returns the slope of the samples since a time on the monotonic clock."""
        first = next(i for i, second in enumerate(self.seconds) if second >= moment)
        return slope(self.seconds[first:], self.bytes[first:])

    def _watch(self) -> None:
        while not self._end.wait(_EVERY_SECONDS):
            try:
                lines = self._status.read_text().splitlines()
            except OSError:  # the process has ended
                return
            (line,) = (line for line in lines if line.startswith("RssAnon:"))
            self.seconds.append(time.monotonic())
            self.bytes.append(1024.0 * int(line.split()[1]))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
