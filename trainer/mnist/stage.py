"""A stage of training a CGN, as the training loop in trainer.mnist.train calls it."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch

RATE_DECAY = 0.4  # the last share of a stage, over which learning rates fall to 0


@dataclass(frozen=True)
class StepResult:
    """The losses and masks of one training step.

    Attributes:
        losses: scalars by name.
        masks: masks of the generated images of the step, (N, 1, R, R) in [0, 1], without gradient.
    """

    losses: dict[str, torch.Tensor]
    masks: torch.Tensor


class Stage(Protocol):
    """One stage of the training.

    Attributes:
        title: what the stage trains, for the log.
        steps: number of its steps; 0 is possible in runs of very few steps.
        step_work: time of one step, in a unit that is the same for all stages.
        parts: everything that a checkpoint of the stage holds, by name.
    """

    title: str
    steps: int
    step_work: float
    parts: dict[str, Any]

    def step(self, done: int) -> StepResult:
        """Trains one step; done: steps of this stage so far."""
        ...


def rate_left(done: int, steps: int) -> float:
    """Returns the factor, in (0, 1], of the learning rate after ``done`` of the ``steps`` of a stage."""
    return min(1.0, (steps - done) / (RATE_DECAY * steps))
