"""A stage of training a CGN: what the loop of trainer.mnist.train asks of each."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch

RATE_DECAY = 0.4  # share of a stage, its last, over which learning rates fall to 0: settle, then cut fine


@dataclass(frozen=True)
class Told:
    """What a step tells of itself.

    Attributes:
        values: losses by name, scalars.
        masks: of the step's composites, (N, 1, R, R) in [0, 1].
    """

    values: dict[str, torch.Tensor]
    masks: torch.Tensor


class Stage(Protocol):
    """Some steps towards a CGN.

    Attributes:
        title: what it trains, for people.
        steps: how many it takes; 0 in runs of very few.
        step_work: what a step of it takes, in any unit of time that is the same for all stages.
        parts: all that its checkpoint must hold, by name.
    """

    title: str
    steps: int
    step_work: float
    parts: dict[str, Any]

    def step(self, done: int) -> Told:
        """Trains one step; done: steps of this stage so far."""
        ...


def rate_left(done: int, steps: int) -> float:
    """Share of the full learning rate after ``done`` of a stage's steps, above 0 up to 1."""
    return min(1.0, (steps - done) / (RATE_DECAY * steps))
