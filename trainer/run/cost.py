"""What a run has cost so far, over restarts and resumes; a part of its checkpoints."""

import time
from dataclasses import dataclass


@dataclass
class Account:
    """Begins to count when it is made; `settle` writes down what has passed since.

    Attributes:
        restarts: how often the run has begun again from step 0 because its masks had collapsed.
        resumed_at_step: where the attempt that goes on now was last resumed; 0 if it never was.
        seconds: wall time of all attempts. What a killed process did after its last checkpoint is not in it.
        cpu_seconds: the same in time of the processor, all threads.
    """

    restarts: int = 0
    resumed_at_step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def settle(self) -> None:
        """Adds the time since the account was made or last settled."""
        wall, cpu = time.monotonic(), time.process_time()
        self.seconds += wall - self._wall
        self.cpu_seconds += cpu - self._cpu
        self._wall, self._cpu = wall, cpu
