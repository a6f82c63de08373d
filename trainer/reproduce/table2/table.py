"""Gathers table 2 and a summary from the files of the cells. No torch in here.

`table2.json` is {variant: {method: {"seeds", "mean", "std", "train", "in_domain"}}}, in per cent. `seeds` are
the test accuracies by seed. `mean` and `std` are their mean and sample standard deviation (null for one
seed). `train` is the mean accuracy on the last training images. `in_domain` is the mean accuracy on test
images whose cues agree with the digit as in training. `summary.json` has all other scores and the costs.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.reproduce.cell.files import Results, write_json
from trainer.reproduce.table2.config import SEEDS, ReproduceCellConfig
from trainer.reproduce.table2.methods import (
    CANDIDATES,
    IDEAS,
    IDEAS_SEED,
    IDEAS_VARIANT,
    METHODS,
    MODEL,
    VARIANTS,
)

TABLE, SUMMARY = "table2.json", "summary.json"

Cells = Mapping[int, Mapping[str, Any]]  # results of one variant and method, by seed in rising order


def gather(results: Results) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the table and the summary of the existing cells."""
    table: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    for variant in VARIANTS:
        rows = {method: _cells(results, variant, method) for method in METHODS}
        models = rows.pop(MODEL)
        rows = {method: cells for method, cells in rows.items() if cells}
        if rows:
            table[variant] = {method: _row(cells) for method, cells in rows.items()}
        if rows or models:
            summary[variant] = _summary(rows, models)
    if ideas := _ideas(results):
        summary[IDEAS_VARIANT]["ideas"] = ideas
    return table, summary


def write(results: Results) -> None:
    """Writes the table and the summary to their files."""
    table, summary = gather(results)
    write_json(results.root / TABLE, table)
    write_json(results.root / SUMMARY, summary)


def outdated(results: Results) -> list[str]:
    """Returns the names of the cells in the table whose options have changed since."""
    cells = [
        ReproduceCellConfig(variant=variant, method=method, seed=seed)
        for variant in VARIANTS
        for method in METHODS
        for seed in _cells(results, variant, method)
    ]
    cells += [
        ReproduceCellConfig(variant=IDEAS_VARIANT, method=idea, seed=IDEAS_SEED) for idea in _ideas(results)
    ]
    return [cell.key for cell in cells if not results.is_done(cell)]


def _cells(results: Results, variant: str, method: str) -> Cells:
    cells = {
        seed: results.read(ReproduceCellConfig(variant=variant, method=method, seed=seed)) for seed in SEEDS
    }
    return {seed: cell for seed, cell in cells.items() if cell and not cell["trial"]}


def _ideas(results: Results) -> dict[str, Any]:
    """Returns scores by idea, first those of the row "CGN only" of the same CGN; empty without ideas."""
    cells = {name: _cells(results, IDEAS_VARIANT, name).get(IDEAS_SEED) for name in ("cgn", *IDEAS)}
    scores = {name: cell["scores"] for name, cell in cells.items() if cell}
    return scores if scores.keys() & IDEAS.keys() else {}


def _row(cells: Cells) -> dict[str, Any]:
    seeds = [cell["scores"]["test"]["accuracy"] for cell in cells.values()]
    return {
        "seeds": seeds,
        "mean": _mean(seeds),
        "std": round(statistics.stdev(seeds), 2) if len(seeds) > 1 else None,
        "train": _mean([cell["scores"]["train"]["accuracy"] for cell in cells.values()]),
        "in_domain": _mean([cell["scores"]["in_domain"]["accuracy"] for cell in cells.values()]),
    }


def _summary(rows: Mapping[str, Cells], models: Cells) -> dict[str, Any]:
    """Returns for one variant the chosen CGN row, mean scores, the share of the oracle gap, and costs."""
    scores = {
        method: _mean_scores([cell["scores"] for cell in cells.values()]) for method, cells in rows.items()
    }
    candidates = [method for method in CANDIDATES if method in scores]
    chosen = max(candidates, key=lambda method: scores[method]["validation"]["accuracy"], default=None)
    closed = {}
    if "original" in scores and "oracle" in scores:
        low, high = (scores[method]["test"]["accuracy"] for method in ("original", "oracle"))
        closed = {
            method: round(100 * (scores[method]["test"]["accuracy"] - low) / (high - low), 1)
            for method in candidates
        }
    return {
        "chosen": chosen,
        "seeds": {method: list(cells) for method, cells in rows.items()},
        "scores": scores,
        "gap_closed": closed,
        "models": {
            "seeds": list(models),
            "restarts": [cell["restarts"] for cell in models.values()],
            **_minutes(models),
        },
        "classifiers": {method: _minutes(cells) for method, cells in rows.items()},
    }


def _minutes(cells: Cells) -> dict[str, float]:
    """Returns the median and highest minutes of wall time, and the median minutes of CPU time."""
    if not cells:
        return {}
    wall = [cell["wall_seconds"] / 60 for cell in cells.values()]
    cpu = [cell["cpu_seconds"] / 60 for cell in cells.values()]
    return {
        "minutes_median": round(statistics.median(wall), 1),
        "minutes_highest": round(max(wall), 1),
        "cpu_minutes_median": round(statistics.median(cpu), 1),
    }


def _mean_scores(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the means over the cells of one variant and method. All these cells have the same scores."""
    return {
        part: {name: _mean([cell[part][name] for cell in cells]) for name in accuracies}
        for part, accuracies in cells[0].items()
    }


def _mean(values: Sequence[float]) -> float:
    return round(statistics.fmean(values), 2)
