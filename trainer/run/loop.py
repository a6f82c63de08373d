"""The training loop that all trainings share: resume, progress, checkpoints, and the end on request.

A training keeps its own step. It reads::

    loop = TrainingLoop(config, context, cost, parts, steps=config.steps, ...)
    for step in loop:
        loss = ...  # one step of the optimiser
        loop.report({"loss": float(loss)})
        if loop.every(config.sample_every):
            reporter.write("sample_sheet", draw_samples, ..., loop.done)
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from trainer.run.checkpoints import Checkpoints
from trainer.run.context import RunContext, RunError, Stopped
from trainer.run.cost import RunCost
from trainer.run.options import Dataclass
from trainer.run.process_group import ProcessGroup


class TrainingLoop:
    """Iterates over the steps of a training that are left, numbered from 0.

    If the context asks to resume, the constructor restores the parts from the newest good checkpoint.
    Otherwise it removes the checkpoints of an earlier run. After the body of each step, the loop writes a
    checkpoint if one is due. If a stop is requested, it writes a checkpoint and raises Stopped.

    Args:
        config: the options of the run; a checkpoint of other options is refused.
        context: the context of the run.
        cost: the cost of the run so far; part of every checkpoint.
        parts: everything else that a checkpoint holds, by name, see `Checkpoints`.
        steps: the steps of the whole run.
        checkpoint_at: whether a checkpoint is due after that many steps.
        lower: the options to lower if a loss is not finite, for the error message.
        images_per_step: images that a step trains on, in all processes together.
        work: the work of the first so many steps, in any unit; by default all steps are equal.
        group: the processes that train together. Only the main process reports and writes files.

    Attributes:
        start: steps that earlier attempts of the run have done.
        done: steps done, including the current one.
        checkpoints: the checkpoints of the run.

    Raises:
        RunError: the newest good checkpoint belongs to a run with other options.
    """

    def __init__(
        self,
        config: Dataclass,
        context: RunContext,
        cost: RunCost,
        parts: Mapping[str, Any],
        *,
        steps: int,
        checkpoint_at: Callable[[int], bool],
        lower: str,
        images_per_step: int,
        work: Callable[[int], float] = float,
        group: ProcessGroup | None = None,
    ) -> None:
        self._context, self._reporter, self._cost = context, context.reporter, cost
        self._steps, self._checkpoint_at, self._lower = steps, checkpoint_at, lower
        self._images_per_step, self._work, self._group = images_per_step, work, group
        self._is_main = group is None or group.is_main
        # The part is called "account", its name in earlier releases, so that their checkpoints still resume.
        self.checkpoints = Checkpoints(context.run_dir, config, {**parts, "account": cost})
        self.start = 0
        if context.resume:
            self.start, notes = self.checkpoints.resume()
            cost.resumed_at_step = self.start
            for line in [*notes, f"resuming after step {self.start}"] if self._is_main else []:
                self._reporter.log(line)
        elif self._is_main:
            self.checkpoints.clear()
        self.done = self.start

    def __iter__(self) -> Iterator[int]:
        """Yields the number of each step. Raises Stopped after a step if a stop is requested."""
        if self._is_main:
            self._reporter.begin(self.start, self._steps, self._work, images_per_step=self._images_per_step)
        for step in range(self.start, self._steps):
            self.done = step + 1
            yield step
            stop = self.stop_requested()
            if stop or self._checkpoint_at(self.done):
                self._save(self.done)
            if stop and self.done < self._steps:
                raise Stopped

    def check(self, losses: Mapping[str, float]) -> None:
        """Raises RunError unless all losses of the current step are finite."""
        infinite = [name for name, value in losses.items() if not math.isfinite(value)]
        if infinite:
            raise RunError(
                f"the losses are no longer finite after step {self.done} ({', '.join(infinite)}); "
                f"lower {self._lower}"
            )

    def report(self, values: Mapping[str, float], mu_mask: float | None = None) -> None:
        """Reports the losses and measures of the current step. Call it once per step.

        Args:
            values: losses and measures by name.
            mu_mask: mean mask value, 0 to 1; None if the training has no masks.

        Raises:
            RunError: a value is not finite.
        """
        self.check(values)
        if self._is_main:
            self._reporter.progress(self.done, values, mu_mask)

    def every(self, steps: int) -> bool:
        """Whether the current step is the last one of so many steps, or the last one of the run."""
        return self.done % steps == 0 or self.done == self._steps

    def stop_requested(self) -> bool:
        """Whether a stop is requested, in any of the processes. All processes must ask together."""
        requested = self._context.stop.requested
        return self._group.any(requested) if self._group else requested

    def cancel_step(self) -> NoReturn:
        """Ends the run inside a step that has changed no weights: writes a checkpoint of the steps before it.

        Raises:
            Stopped: always.
        """
        self._save(self.done - 1)
        raise Stopped

    def _save(self, done: int) -> None:
        if self._is_main:
            self._cost.update()
            self._reporter.write("checkpoint", self.checkpoints.save, done)
