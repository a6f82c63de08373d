"""Makes cells, one after the other, beside others who do the same."""

import json
import shutil
import statistics
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cgn.errors import CgnInputError
from cgn.store import checkpoint
from trainer.reproduce.cell.files import Results
from trainer.reproduce.cell.locks import LOCK, alone_in
from trainer.reproduce.cells import Cell, digest, model_cell, model_of, planned
from trainer.reproduce.imagenet.cell import imagenet_cell
from trainer.reproduce.imagenet.config import ImagenetCellConfig
from trainer.reproduce.miniature.cell import miniature_cell
from trainer.reproduce.miniature.config import MiniatureCellConfig
from trainer.reproduce.table2.cell import RESULT, reproduce_cell
from trainer.run.context import RunContext, RunError, Stopped
from trainer.run.report import Reporter, StopFlag

_SECONDS_BETWEEN_LOOKS = 1.0  # at cells that another process makes
_LOG = "log.txt"  # in a cell's directory


class CellReporter(Reporter):
    """Shows the progress bar alone; lines go to a file in the cell's directory."""

    def __init__(self, run_dir: Path, models_dir: Path) -> None:
        super().__init__(run_dir, models_dir, jsonl=False)
        self._log = run_dir / _LOG

    def log(self, line: str) -> None:
        with self._log.open("a") as file:
            print(line, file=file)


class Work:
    """The making of cells in this process."""

    def __init__(self, results: Results, work_dir: Path, models_dir: Path, device: str) -> None:
        """work_dir: for runs. models_dir: where CGNs are found and, if they are a cell's, published."""
        self._results = results
        self._work_dir = work_dir
        self._models_dir = models_dir
        self._device = device
        self._stop = StopFlag()
        self._failed: list[str] = []

    def make(self, cells: Sequence[Cell], *, again: bool) -> list[str]:
        """Makes the cells that are not done, and the CGNs that they need.

        Args:
            cells: which ones.
            again: make them even if they are done.

        Returns:
            The names of those that failed, or need one that did.

        Raises:
            Stopped: by SIGTERM or Ctrl-C.
        """
        self._stop.install()
        queue = deque(self._with_models([cell for cell in cells if again or not self._results.is_done(cell)]))
        afresh = set(cells) if again else set()
        total, number, passed = len(queue), 1, 0
        while queue:
            if self._stop.requested:
                raise Stopped
            cell = queue.popleft()
            with alone_in(self._run_dir(cell)) as alone:
                if alone and not self._waits(cell, queue):
                    self._make(cell, f"[{number}/{total}] {cell.key}", queue, afresh=cell in afresh)
                    number, passed = number + 1, 0
                    continue
            queue.append(cell)  # another process makes it, or the CGN that it needs
            passed += 1
            if passed == len(queue):
                print("waiting for cells that another process makes:", ", ".join(c.key for c in queue))
            if passed >= len(queue):
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        return self._failed

    def _with_models(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells, and before them those that train the CGNs which are missing."""
        wanted: dict[Cell, None] = {}
        for cell in cells:
            trained_by = model_cell(cell)
            if trained_by and not self._has_model(trained_by):
                wanted[trained_by] = None
            wanted[cell] = None
        return list(wanted)

    def _has_model(self, cell: Cell) -> bool:
        name, version = model_of(cell)
        return (self._models_dir / name / version / checkpoint.CARD).is_file()

    def _is_settled(self, cell: Cell) -> bool:
        """Whether a cell's result is there, and the CGN too that it stands for."""
        return self._results.is_done(cell) and (model_cell(cell) != cell or self._has_model(cell))

    def _waits(self, cell: Cell, queue: Collection[Cell]) -> bool:
        """Whether the CGN that a cell needs is still to be made."""
        trained_by = model_cell(cell)
        return trained_by in queue and not self._has_model(cell)

    def _make(self, cell: Cell, title: str, queue: Collection[Cell], *, afresh: bool) -> None:
        """Makes a cell and says how it went; queue: what comes after it. Raises Stopped."""
        if self._is_settled(cell) and not afresh:
            print(f"{title}: made by another process")
            return
        trained_by = model_cell(cell)
        if trained_by and trained_by.key in self._failed and not self._has_model(cell):
            self._failed.append(cell.key)
            print(f"{title}: left out, as {trained_by.key} failed")
            return
        run_dir = self._run_dir(cell)
        if afresh and (run_dir / RESULT).exists():
            self._clear(cell)
        print(f"{title} ...")
        reporter = CellReporter(run_dir, self._models_dir)
        version = digest(cell)[:12]
        where = RunContext(run_dir, self._models_dir, self._device, version, True, reporter, self._stop)
        try:
            with closing(reporter):
                _run(cell, where)
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
        """Where a cell's run is; with other options it is another one."""
        return self._work_dir / "cells" / f"{cell.key.replace('/', '-')}-{digest(cell)[:12]}"

    def _clear(self, cell: Cell) -> None:
        """Removes what an earlier run of a cell has left, of a model cell the CGN too."""
        for path in self._run_dir(cell).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:  # held by this process
                path.unlink()
        if model_cell(cell) == cell:
            name, version = model_of(cell)
            shutil.rmtree(self._models_dir / name / version, ignore_errors=True)

    def _time_left(self, queue: Collection[Cell]) -> str:
        """An estimate from what cells of the same method took; empty if there is nothing to go by."""
        took: dict[str, list[float]] = {}
        for cell in planned():
            if result := self._results.read(cell):
                took.setdefault(_kind(cell), []).append(result["wall_seconds"])
        known = [statistics.median(took[_kind(cell)]) for cell in queue if _kind(cell) in took]
        if not known:
            return ""
        more = "" if len(known) == len(queue) else " or more"
        return f"; about {_duration(sum(known))}{more} left"


def _run(cell: Cell, where: RunContext) -> None:
    """Makes a cell, by the run of its kind."""
    if isinstance(cell, MiniatureCellConfig):
        miniature_cell(cell, where)
    elif isinstance(cell, ImagenetCellConfig):
        imagenet_cell(cell, where)
    else:
        reproduce_cell(cell, where)


def _kind(cell: Cell) -> str:
    """What cells take about as long."""
    return cell.key.split("/")[-2]  # the method, the row, or what is made


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
