"""Reports of a run: progress for people, JSON lines for the worker, and metrics.jsonl in the run directory.

A JSON line is one object on standard output. Its `event` is one of
  progress  step, total_steps, step_seconds (median of the last steps), eta_seconds, values, mu_mask or null,
            images_per_second (0: unknown)
  artefact  kind, path (relative to the run directory; for a model, to the models directory), bytes, digest
            (sha256:..., empty for a directory)
  log       line
  result    model_name, model_version (empty if none was published); only of a successful run
  end       code: the exit code, see trainer.run.exit_codes; the last event. The exit code of torchrun, which
            may stand between run and worker, says less.

No torch in here: the worker reads the reports, and has no torch.
"""

import hashlib
import json
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec

from tqdm import tqdm

from common.progress import Progress
from trainer.run.exit_codes import disk_is_full

P = ParamSpec("P")

_SECONDS_BETWEEN_REPORTS = 0.5
_STEPS_TIMED = 50


class Reporter:
    """Reports the progress and files of a run.

    Args:
        run_dir: directory of the run.
        models_dir: directory of published models.
        jsonl: write JSON lines to standard output, instead of text for people to stderr.
        silent: write no JSON lines, as in processes other than the main one.
    """

    def __init__(self, run_dir: Path, models_dir: Path, *, jsonl: bool, silent: bool = False) -> None:
        self._silent = silent
        self._run_dir = run_dir
        self._models_dir = models_dir
        self._jsonl = jsonl
        self._shown: Progress | None = None
        self._step = 0
        self._total = 0
        self._work: Callable[[int], float] = float
        self._images_per_step = 0
        self._stepped_at = 0.0
        self._reported_at = float("-inf")
        self._step_seconds: deque[float] = deque(maxlen=_STEPS_TIMED)

    def begin(
        self,
        step: int,
        total_steps: int,
        work: Callable[[int], float] = float,
        *,
        images_per_step: int = 0,
    ) -> None:
        """Starts the clock. Call it just before the first step, and again if the run starts again.

        Args:
            step: steps that earlier attempts have done.
            total_steps: steps of the whole run.
            work: the work of the first so many steps, in any unit; by default all steps are equal.
            images_per_step: images that a step trains on or draws; 0 if the number has no meaning.
        """
        self.close()
        self._step, self._total, self._stepped_at = step, total_steps, time.perf_counter()
        self._reported_at = float("-inf")  # reports the first step at once, also after a restart
        self._work, self._images_per_step = work, images_per_step
        if not self._jsonl:
            self._shown = Progress(total_steps, step, self.log)

    def progress(self, step: int, values: Mapping[str, float], mu_mask: float | None = None) -> None:
        """Call this after every step. Reports at most twice a second, and always the last step.

        Args:
            step: steps done.
            values: losses and measures by name.
            mu_mask: mean mask value, 0 to 1; None if the run has no masks.
        """
        now = time.perf_counter()
        if step > self._step:
            self._step_seconds.append((now - self._stepped_at) / (step - self._step))
        self._step, self._stepped_at = step, now
        if self._shown:
            self._shown.move(step)
        if now - self._reported_at < _SECONDS_BETWEEN_REPORTS and step < self._total:
            return
        self._reported_at = now
        step_seconds = statistics.median(self._step_seconds) if self._step_seconds else 0.0
        work_left = self._work(self._total) - self._work(step)
        eta_seconds = step_seconds * work_left / (self._work(step) - self._work(step - 1))
        fields: dict[str, object] = {
            "step": step,
            "total_steps": self._total,
            "step_seconds": step_seconds,
            "eta_seconds": eta_seconds,
            "values": dict(values),
            "mu_mask": mu_mask,
            "images_per_second": self._images_per_step / step_seconds if step_seconds else 0.0,
        }
        self._log_metrics(json.dumps(fields))
        if self._shown:
            # As much as fits a terminal of 80 columns; metrics.jsonl has everything.
            shown = {} if mu_mask is None else {"mu_mask": mu_mask}
            shown |= dict(list(values.items())[:2])
            self._shown.show(step, eta_seconds, [f"{name} {value:.3g}" for name, value in shown.items()])
        else:
            self._emit("progress", **fields)

    def _log_metrics(self, line: str) -> None:
        """Appends a line to metrics.jsonl. On a full disk the line is lost, and the run continues."""
        try:
            with (self._run_dir / "metrics.jsonl").open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            if not disk_is_full(error):
                raise

    def artefact(self, kind: str, path: Path) -> None:
        """Reports a finished file or directory.

        Args:
            kind: checkpoint, sample_sheet, collapse_report, model, scores, cell, dataset or shard.
            path: the file or directory, inside the run directory; a model inside the models directory.
        """
        root = self._models_dir if kind == "model" else self._run_dir
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        relative = path.resolve().relative_to(root.resolve())
        size = sum(file.stat().st_size for file in files)
        if self._jsonl:
            digest = _sha256(path) if path.is_file() else ""
            self._emit("artefact", kind=kind, path=relative.as_posix(), bytes=size, digest=digest)
        else:
            self.log(f"{kind}: {path}")

    def write(self, kind: str, write: Callable[P, Path], *args: P.args, **kwargs: P.kwargs) -> None:
        """Writes a file and reports it. On a full disk it logs that, and the run continues without the file.

        Args:
            kind: see `artefact`.
            write: writes the file with the other arguments, and returns its path.
        """
        try:
            path = write(*args, **kwargs)
        except OSError as error:
            if not disk_is_full(error):
                raise
            self.log(f"no {kind.replace('_', ' ')} was written, the disk is full: {error}; the run goes on")
        else:
            self.artefact(kind, path)

    def log(self, line: str) -> None:
        """Reports one line of text."""
        if self._jsonl:
            self._emit("log", line=line)
        else:
            tqdm.write(line, file=sys.stderr)

    def result(self, model_name: str, model_version: str) -> None:
        """Reports success; both arguments are empty if the run published no model."""
        if self._jsonl:
            self._emit("result", model_name=model_name, model_version=model_version)
        elif model_name:
            self.log(f"published {model_name}, version {model_version}")

    def end(self, code: int) -> None:
        """Reports the exit code."""
        if self._jsonl:
            self._emit("end", code=code)

    def close(self) -> None:
        """Ends the line of the progress bar."""
        if self._shown:
            self._shown.close()

    def _emit(self, event: str, **fields: object) -> None:
        if self._silent:
            return
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
