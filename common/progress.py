"""Progress of a long task for people: a bar on a terminal, else a line per tenth of the steps."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm

_TENTHS = 10


class Progress:
    """A progress display, visible from its creation until close().

    total: all steps. done: steps done already. write: prints a line if there is no terminal for a bar.
    """

    def __init__(self, total: int, done: int, write: Callable[[str], None]) -> None:
        self._total, self._write = total, write
        self._tenths = self._tenths_of(done)
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty():
            form = "{percentage:3.0f}%|{bar:10}| {n_fmt}/{total_fmt}{postfix}"
            self._bar = tqdm(total=total, initial=done, dynamic_ncols=True, bar_format=form)

    def move(self, step: int) -> None:
        """Moves the bar to `step` steps done; fewer than before if the task has restarted."""
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def show(self, step: int, eta_seconds: float, words: Sequence[str]) -> None:
        """Moves the bar and shows the remaining time and `words` beside it, within 80 columns."""
        words = [f"{tqdm.format_interval(eta_seconds)} left", *words]
        if self._bar is not None:
            self._bar.set_postfix_str("  ".join(words), refresh=False)
            self.move(step)
        elif (tenths := self._tenths_of(step)) != self._tenths:
            self._tenths = tenths
            self._write(f"step {step} of {self._total}, {'  '.join(words)}")

    def close(self) -> None:
        """Removes the bar from further output."""
        if self._bar is not None:
            self._bar.close()

    def _tenths_of(self, step: int) -> int:
        return _TENTHS * step // max(1, self._total)
