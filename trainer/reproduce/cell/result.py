"""How a run of a cell writes its result."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cgn.card import ModelCard
from trainer.reproduce.cell.cell import Cell, command, digest
from trainer.reproduce.cell.files import write_json
from trainer.run.context import RunContext

RESULT = "cell.json"  # in the run's directory


def write_result(
    cell: Cell, context: RunContext, model: ModelCard | None, outcome: Mapping[str, Any]
) -> None:
    """Writes the result of a cell to RESULT and reports it.

    Args:
        cell: what was made.
        context: of the run.
        model: the model that the cell trained or used, if any.
        outcome: scores, costs, machine and whatever else the cell has to report, as plain JSON.
    """
    runs = cell.runs()
    result = {
        "cell": cell.key,
        "command": command(cell),
        "trial": cell.trial,
        "digest": digest(cell),
        "seeds": {run: options["seed"] for run, options in runs.items()},
        "model": model and {"name": model.name, "version": model.version, "digest": model.digest},
        **outcome,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "runs": runs,
    }
    write_json(context.run_dir / RESULT, result)
    context.reporter.artefact("cell", context.run_dir / RESULT)
