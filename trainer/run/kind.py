"""The declaration of a kind of run."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer.run.options import Dataclass

if TYPE_CHECKING:
    from trainer.run.context import Published, RunContext

GIVEN_MODEL = ("model_name", "model_version")


@dataclass(frozen=True)
class Kind:
    """A kind of run. As a job, it is a kind of job.

    Attributes:
        name: name of the kind, in ``python -m trainer <name>`` and in the API.
        config: the dataclass of the run's options.
        run: the function that executes a run, as ``module:function``; imported late, as it may need torch.
        description: one sentence for people.
        publishes: whether the run publishes a version ``job-<id>`` of the model in its option model_name.
        uses_model: the two options that name a published model and its version; empty if there are none.
        family: the family that this model must be of; empty for any.
    """

    name: str
    config: type[Dataclass]
    run: str
    description: str
    publishes: bool = False
    uses_model: tuple[str, str] = ("", "")
    family: str = ""

    def load(self) -> "Callable[[Any, RunContext], Published]":
        """Imports and returns the function that executes a run."""
        module, _, function = self.run.partition(":")
        run: Callable[[Any, RunContext], Published] = getattr(importlib.import_module(module), function)
        return run
