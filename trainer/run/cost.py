"""The cost of a run so far, over restarts and resumes; part of its checkpoints."""

import time
from dataclasses import dataclass


@dataclass
class RunCost:
    """Measures the time of a run from its construction on; `update` adds the time that has passed since.

    Attributes:
        restarts: how often the run has started again at step 0 because its masks had collapsed.
        resumed_at_step: the step after which this attempt was last resumed; 0 if it never was.
        seconds: wall time of all attempts. The time of a killed process after its last checkpoint is missing.
        cpu_seconds: CPU time of all attempts, all threads, in seconds.
    """

    restarts: int = 0
    resumed_at_step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def update(self) -> None:
        """Adds the time since the construction or the last update."""
        wall, cpu = time.monotonic(), time.process_time()
        self.seconds += wall - self._wall
        self.cpu_seconds += cpu - self._cpu
        self._wall, self._cpu = wall, cpu

    def summary(self) -> dict[str, float]:
        """Returns seconds, cpu_seconds and resumed_at_step up to now, for cards and result files."""
        self.update()
        return {
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "resumed_at_step": self.resumed_at_step,
        }
