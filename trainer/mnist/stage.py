"""A stage of training a CGN, as the training loop in trainer.mnist.train calls it."""

from dataclasses import dataclass
from typing import Any, Protocol

import torch

DECAY_SHARE = 0.4  # share of a stage's steps, its last ones, over which learning rates decay to 0


@dataclass(frozen=True)
class StepResult:
    """The losses and masks of one training step.

    Attributes:
        losses: scalars by name.
        masks: masks of the images generated in the step, (N, 1, R, R) in [0, 1], detached.
    """

    losses: dict[str, torch.Tensor]
    masks: torch.Tensor


class Stage(Protocol):
    """One stage of the training.

    Attributes:
        title: what the stage trains, for the log.
        steps: number of steps; 0 is possible in runs of very few steps.
        step_work: duration of one step relative to the steps of other stages.
        parts: everything that a checkpoint of the stage contains, by name.
    """

    title: str
    steps: int
    step_work: float
    parts: dict[str, Any]

    def step(self, done: int) -> StepResult:
        """Trains one step. done: number of completed steps of this stage."""
        ...


def rate_factor(done: int, steps: int) -> float:
    """Returns the factor of the learning rate, in (0, 1], after ``done`` of the ``steps`` of a stage."""
    return min(1.0, (steps - done) / (DECAY_SHARE * steps))
