"""Shows a job's events as they come: a progress bar on a terminal, else a line every few seconds."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from cgn_api.v1 import trainer_pb2

_SECONDS_BETWEEN_LINES = 5.0


class JobProgress:
    """Progress of one job, from entering the context to leaving it."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._bar: Any = None  # made at the first progress event, which knows the total
        self._next_line = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, event: trainer_pb2.JobEvent) -> None:
        """Shows one event."""
        match event.WhichOneof("event"):
            case "progress":
                self._show_progress(event.progress)
            case "state_change":
                change = event.state_change
                state = trainer_pb2.JobState.Name(change.state).removeprefix("JOB_STATE_").lower()
                self._write(f"  {state}{f': {change.message}' if change.message else ''}")
            case "artefact":
                size = -(-event.artefact.bytes // 1024)
                self._write(f"  wrote {event.artefact.path} ({size} KiB)")
            case "log_line":
                self._write(f"  {event.log_line}")

    def _show_progress(self, progress: trainer_pb2.Progress) -> None:
        values = {name: f"{value:.3g}" for name, value in sorted(progress.values.items())}
        if progress.HasField("mu_mask"):
            values = {"mean mask": f"{progress.mu_mask:.3f}", **values}
        if self._is_terminal:
            if self._bar is None:
                self._bar = tqdm(total=progress.total_steps, unit="step", dynamic_ncols=True)
            self._bar.set_postfix(values, refresh=False)
            self._bar.update(progress.step - self._bar.n)
            return
        now, is_last = time.monotonic(), progress.step == progress.total_steps
        if now >= self._next_line or is_last:
            self._next_line = now + _SECONDS_BETWEEN_LINES
            shown = "  ".join(f"{name} {value}" for name, value in values.items())
            eta = "" if is_last else f"  {progress.eta_seconds:.0f} s to go"
            self._write(f"  step {progress.step}/{progress.total_steps}  {shown}{eta}")

    def _write(self, line: str) -> None:
        tqdm.write(line, file=sys.stdout)  # keeps clear of the bar
        sys.stdout.flush()
