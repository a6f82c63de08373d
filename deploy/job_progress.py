"""Shows a job's events as they come, within the terminal's width; where there is no terminal, 80 columns."""

import shutil
import sys
import textwrap
from types import TracebackType
from typing import Self

from tqdm import tqdm

from cgn_api.v1 import trainer_pb2
from common.progress import Progress


class JobProgress:
    """Progress of one job, from entering the context to leaving it."""

    def __init__(self) -> None:
        self._shown: Progress | None = None  # made at the first progress event, which knows the total

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            self._shown.close()

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
        self._shown = self._shown or Progress(progress.total_steps, 0, self._write)
        words = [f"mean mask {progress.mu_mask:.3f}"] if progress.HasField("mu_mask") else []
        self._shown.tell(progress.step, progress.eta_seconds, words)

    def _write(self, line: str) -> None:
        tqdm.write(fitted(f"  {line}"), file=sys.stdout)  # keeps clear of the bar
        sys.stdout.flush()


def fitted(line: str) -> str:
    """A line broken so that it fits the terminal."""
    return textwrap.fill(line, shutil.get_terminal_size().columns, subsequent_indent="    ")
