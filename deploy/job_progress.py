"""Shows a job's events as they arrive, wrapped to the terminal's width (80 columns without a terminal)."""

import shutil
import sys
import textwrap
from types import TracebackType
from typing import Self

from tqdm import tqdm

from cgn_api.v1 import trainer_pb2
from common.progress import Progress


class JobProgress:
    """Shows the progress of one job while its context is entered."""

    def __init__(self) -> None:
        self._bar: Progress | None = None  # created at the first progress event, which has the total

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.close()

    def show(self, event: trainer_pb2.JobEvent) -> None:
        """Shows one event."""
        match event.WhichOneof("event"):
            case "progress":
                self._show_progress(event.progress)
            case "state_change":
                change = event.state_change
                state = trainer_pb2.JobState.Name(change.state).removeprefix("JOB_STATE_").lower()
                self._write(f"{state}{f': {change.message}' if change.message else ''}")
            case "artefact":
                size = -(-event.artefact.bytes // 1024)
                self._write(f"wrote {event.artefact.path} ({size} KiB)")
            case "log_line":
                self._write(event.log_line)

    def _show_progress(self, progress: trainer_pb2.Progress) -> None:
        self._bar = self._bar or Progress(progress.total_steps, 0, self._write)
        words = [f"mean mask {progress.mu_mask:.3f}"] if progress.HasField("mu_mask") else []
        self._bar.show(progress.step, progress.eta_seconds, words)

    def _write(self, line: str) -> None:
        tqdm.write(fitted(f"  {line}"), file=sys.stdout)  # does not overwrite the bar
        sys.stdout.flush()


def fitted(line: str) -> str:
    """Wraps a line to the terminal's width."""
    return textwrap.fill(line, shutil.get_terminal_size().columns, subsequent_indent="    ")
