"""`make reproduce`: makes the missing cells one after the other, and gathers the tables.

Several of these commands may run at the same time, for instance one per core. Only one of them makes a given
cell. A command resumes where an earlier one was stopped.
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cgn.errors import CgnInputError
from cgn.store import versions
from common.settings import REPO, Paths, SettingsError, device_from_env
from trainer.reproduce.catalog import is_pattern, selected
from trainer.reproduce.cell.cell import Cell
from trainer.reproduce.cell.files import Results
from trainer.reproduce.miniature import page as miniature_page
from trainer.reproduce.table2 import page, table
from trainer.reproduce.table2.methods import VARIANTS
from trainer.reproduce.work import Work
from trainer.run.context import Stopped
from trainer.run.exit_codes import BAD_OPTIONS, FAILED, STOPPED, SUCCEEDED
from trainer.run.options import FieldError

RESULTS = REPO / "docs" / "results"
WORK = REPO / "var" / "reproduce"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the process's exit code, one of those of trainer.run.report."""
    arguments = _parser().parse_args(argv)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that a pipe passes on each line at once
    if arguments.table:
        return _gather(Results(arguments.results_dir or RESULTS))
    try:
        models_dir = Paths.from_env().models_dir if arguments.model else arguments.work_dir / "models"
        cells = _cells(arguments, models_dir)
        device = device_from_env()
    except (CgnInputError, SettingsError) as error:
        print("error:", error, file=sys.stderr)
        return BAD_OPTIONS
    trial = any(cell.trial for cell in cells)
    results = Results(arguments.results_dir or (arguments.work_dir / "trials" if trial else RESULTS))
    work = Work(results, arguments.work_dir.absolute(), models_dir.absolute(), device)
    done = [cell for cell in cells if results.is_done(cell)]
    if done and is_pattern(arguments.cell):
        print(f"{len(done)} of {len(cells)} cells exist; CELL={done[0].key} makes this cell again")
    try:
        failed = work.make(cells, again=not is_pattern(arguments.cell))
    except Stopped:
        print("stopped; the same command resumes")
        return STOPPED
    if not trial and not arguments.model:
        _gather(results)
    if failed:
        print("error: these cells failed:", ", ".join(failed), file=sys.stderr)
    return FAILED if failed else SUCCEEDED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make reproduce",
        description="Computes cells of the papers' tables and figures.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--cell",
        default="*",
        help="name of a cell, which is computed even if its result exists; or a pattern with * or ?",
    )
    parser.add_argument(
        "--model", default="", metavar="NAME[:VERSION]", help="CGN to use, from CGN_MODELS_DIR"
    )
    parser.add_argument(
        "--weights", default="", metavar="DIR", help="folder with the public weights for ImageNet's cells"
    )
    parser.add_argument("--table", action="store_true", help="compute no cell, only write the tables")
    parser.add_argument("--steps", type=int, help="training steps of a CGN, for a trial")
    parser.add_argument("--images-seen", type=int, help="images seen by a classifier, for a trial")
    parser.add_argument(
        "--work-dir", type=Path, default=WORK, help="folder for runs and CGNs (default: %(default)s)"
    )
    parser.add_argument(
        "--results-dir",
        type=Path,
        help=f"folder for results (default: {RESULTS}; for a trial: below the work directory)",
    )
    return parser


def _cells(arguments: argparse.Namespace, models_dir: Path) -> list[Cell]:
    """Returns the cells that the command line selects. Raises CgnInputError."""
    pattern = arguments.cell
    options = {name: getattr(arguments, name) for name in ("steps", "images_seen", "weights")}
    if arguments.model:
        name, _, version = arguments.model.partition(":")
        version = version or versions.newest_version(models_dir, name)
        dataset = versions.read_card(models_dir, name, version).training.get("config", {}).get("dataset")
        if pattern == "*":  # all cells of the data set of its training
            pattern = "".join(f"{variant}/*" for variant in VARIANTS if VARIANTS[variant] == dataset)
        if not pattern:
            raise FieldError("CELL", f"must name a cell, as {name} was trained on no data set of table 2")
        options |= {"model_name": name, "model_version": version}
    cells = selected(pattern)
    if arguments.model:
        cells = [cell for cell in cells if cell.accepts_model(named=not is_pattern(pattern))]
        if not cells:
            raise FieldError("CELL", f"{pattern!r} cannot use a named CGN; leave MODEL out")
    return [dataclasses.replace(cell, **_known(cell, options)) for cell in cells]


def _known(cell: Cell, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that a cell of this kind has."""
    names = {field.name for field in dataclasses.fields(cell)}
    return {name: value for name, value in options.items() if name in names}


def _gather(results: Results) -> int:
    """Gathers the tables, and names the cells that were made with other options than the present ones."""
    table.write(results)
    docs = results.root.parent
    page.write(results, docs / page.PAGE, docs.parent / page.README)
    miniature_page.write(results, docs)
    print(f"gathered {results.root / table.TABLE}")
    if outdated := [*table.outdated(results), *miniature_page.outdated(results)]:
        print(
            "made with other options or another CGN; `make reproduce` makes these cells again:",
            ", ".join(outdated),
        )
    return SUCCEEDED


if __name__ == "__main__":
    sys.exit(main())
