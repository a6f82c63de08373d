"""Makes cells one after the other. Other processes may do the same at the same time."""

import json
import shutil
import statistics
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cgn.card import CARD_FILE
from cgn.errors import CgnInputError
from trainer.reproduce.catalog import planned
from trainer.reproduce.cell.cell import Cell, digest
from trainer.reproduce.cell.files import Results
from trainer.reproduce.cell.locks import LOCK, alone_in
from trainer.reproduce.cell.result import RESULT
from trainer.run.context import RunContext, RunError, StopFlag, Stopped
from trainer.run.report import Reporter

_POLL_SECONDS = 1.0  # while another process makes the remaining cells
_LOG = "log.txt"  # in a cell's directory


class CellReporter(Reporter):
    """Shows the progress bar only. Log lines go to a file in the cell's directory."""

    def __init__(self, run_dir: Path, models_dir: Path) -> None:
        super().__init__(run_dir, models_dir, jsonl=False)
        self._log = run_dir / _LOG

    def log(self, line: str) -> None:
        with self._log.open("a") as file:
            print(line, file=file)


class Work:
    """Makes cells in this process."""

    def __init__(self, results: Results, work_dir: Path, models_dir: Path, device: str) -> None:
        """Args:
        work_dir: for runs.
        models_dir: where CGNs are read from, and where cells publish theirs.
        """
        self._results = results
        self._work_dir = work_dir
        self._models_dir = models_dir
        self._device = device
        self._stop = StopFlag()
        self._failed: list[str] = []

    def make(self, cells: Sequence[Cell], *, again: bool) -> list[str]:
        """Makes the cells that are not done, and first the CGNs that they need.

        Args:
            cells: which ones.
            again: make the cells even if they are done.

        Returns:
            The names of the cells that failed, and of the cells that need a failed one.

        Raises:
            Stopped: SIGTERM or Ctrl-C arrived.
        """
        self._stop.install()
        queue = deque(self._with_models([cell for cell in cells if again or not self._results.is_done(cell)]))
        again_cells = set(cells) if again else set()
        total, number, skipped = len(queue), 1, 0
        while queue:
            if self._stop.requested:
                raise Stopped
            cell = queue.popleft()
            with alone_in(self._run_dir(cell)) as alone:
                if alone and not self._waits(cell, queue):
                    self._make(cell, f"[{number}/{total}] {cell.key}", queue, again=cell in again_cells)
                    number, skipped = number + 1, 0
                    continue
            queue.append(cell)  # another process makes this cell, or the CGN that it needs
            skipped += 1
            if skipped == len(queue):
                print("waiting for cells that other processes make:", ", ".join(c.key for c in queue))
            if skipped >= len(queue):
                time.sleep(_POLL_SECONDS)
        return self._failed

    def _with_models(self, cells: Sequence[Cell]) -> list[Cell]:
        """Returns the cells, each after the cell that trains its CGN if the CGN is missing."""
        queue: dict[Cell, None] = {}
        for cell in cells:
            trained_by = cell.model_cell
            if trained_by and not self._has_model(trained_by):
                queue[trained_by] = None
            queue[cell] = None
        return list(queue)

    def _has_model(self, cell: Cell) -> bool:
        name, version = cell.model
        return (self._models_dir / name / version / CARD_FILE).is_file()

    def _is_settled(self, cell: Cell) -> bool:
        """Whether a cell's result exists, and its CGN too if the cell trains one."""
        return self._results.is_done(cell) and (cell.model_cell != cell or self._has_model(cell))

    def _waits(self, cell: Cell, queue: Collection[Cell]) -> bool:
        """Whether the CGN that a cell needs is still queued."""
        trained_by = cell.model_cell
        return trained_by in queue and not self._has_model(cell)

    def _make(self, cell: Cell, title: str, queue: Collection[Cell], *, again: bool) -> None:
        """Makes a cell and prints its outcome; `queue` is what remains after it. Raises Stopped."""
        if self._is_settled(cell) and not again:
            print(f"{title}: another process has made it")
            return
        trained_by = cell.model_cell
        if trained_by and trained_by.key in self._failed and not self._has_model(cell):
            self._failed.append(cell.key)
            print(f"{title}: skipped, as {trained_by.key} failed")
            return
        run_dir = self._run_dir(cell)
        if again and (run_dir / RESULT).exists():
            self._clear(cell)
        print(f"{title} ...")
        reporter = CellReporter(run_dir, self._models_dir)
        version = digest(cell)[:12]
        context = RunContext(run_dir, self._models_dir, self._device, version, True, reporter, self._stop)
        try:
            with closing(reporter):
                cell.kind.load()(cell, context)
        except Stopped:
            print(f"{title}: stopped, its checkpoint is in {run_dir}")
            raise
        except (RunError, CgnInputError) as error:
            self._failed.append(cell.key)
            print(f"{title}: failed: {error}")
            return
        result = json.loads((run_dir / RESULT).read_text(encoding="utf-8"))
        self._results.write(cell, result)
        for picture in run_dir.glob("cell*.png"):
            path = self._results.path(cell)
            shutil.copyfile(picture, path.with_name(path.stem + picture.name.removeprefix("cell")))
        print(f"{title}: {_outcome(result)}, {_duration(result['wall_seconds'])}{self._time_left(queue)}")

    def _run_dir(self, cell: Cell) -> Path:
        """Returns the run directory of a cell. Other options have another directory."""
        return self._work_dir / "cells" / f"{cell.key.replace('/', '-')}-{digest(cell)[:12]}"

    def _clear(self, cell: Cell) -> None:
        """Removes the files of an earlier run of a cell, and the CGN that it trained."""
        for path in self._run_dir(cell).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:  # held by this process
                path.unlink()
        if cell.model_cell == cell:
            name, version = cell.model
            shutil.rmtree(self._models_dir / name / version, ignore_errors=True)

    def _time_left(self, queue: Collection[Cell]) -> str:
        """Returns an estimate from the times of cells of the same group; empty without any."""
        seconds: dict[str, list[float]] = {}
        for cell in planned():
            if result := self._results.read(cell):
                seconds.setdefault(cell.group, []).append(result["wall_seconds"])
        estimates = [statistics.median(seconds[cell.group]) for cell in queue if cell.group in seconds]
        if not estimates:
            return ""
        more = "" if len(estimates) == len(queue) else " or more"
        return f"; about {_duration(sum(estimates))}{more} left"


def _outcome(result: Mapping[str, Any]) -> str:
    if "inception_score" in (scores := result.get("scores", {})):
        mu_mask = f", μ_mask {scores['mu_mask']:.3f}" if "mu_mask" in scores else ""
        return f"inception score {scores['inception_score']:.2f}{mu_mask}"
    if "scores" in result:
        test, validation = (result["scores"][part]["accuracy"] for part in ("test", "validation"))
        return f"test {test:.2f} %, validation {validation:.2f} %"
    return f"{result['restarts']} restarts" if "restarts" in result else "made"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min" if seconds >= 60 else f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
