"""Renders what it costs to train a CGN and to recombine its rows, for `docs/benchmarks.md`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.reproduce.cell.markdown import table

# A file and a folder of the results; either may be missing.
COST, BANKS = "training_cost.json", "recombination"
BEGIN = "<!-- from training_cost.json and recombination/, by make bench-table -->"
END = "<!-- end of costs -->"
_COST_HEADINGS = ("", "authors, CPU minutes", "ours, CPU minutes", "ratio", "ours, wall-clock minutes")
_COMPARED = ("points_lost", "times_faster", "times_faster_with_rows")
_BANKS_HEADINGS = (
    "rows per bank", "validation accuracy, %", "rows, CPU s", "images, CPU s",
    "points lost", "speedup, images", "speedup, rows and images",
)  # fmt: skip


def render(results: Path) -> str:
    """Returns the results of a folder as Markdown."""
    parts = []
    if (path := results / COST).is_file():
        report = json.loads(path.read_text())
        parts += [_part("What training costs", report, table(_COST_HEADINGS, _cost_rows(report)), COST)]
    for path in sorted((results / BANKS).glob("*.json")):
        report = json.loads(path.read_text())
        heading = f"What recombination costs: {report['model']['name']}, {report['images']:,} images"
        parts += [_part(heading, report, table(_BANKS_HEADINGS, _bank_rows(report)), f"{BANKS}/{path.name}")]
    return "\n\n".join(parts)


def _part(heading: str, report: dict[str, Any], rows: str, file: str) -> str:
    threads = report["machine"]["threads"]
    where = f"{report['machine']['cpu']}, {threads} thread{'s' if threads > 1 else ''}"
    changed = " with changed files" if report["commit"].endswith("+") else ""
    commit = f"{report['commit'][:10]}{changed}"
    source = f"[`{file}`](results/{file}), {where}: `{report['command']}` of commit {commit}"
    return f"### {heading}\n\n{rows}\n\n{source}"


def _cost_rows(report: dict[str, Any]) -> Iterator[list[str]]:
    for variant, costs in report["variants"].items():
        theirs, ours = costs["authors"], costs["ours"]
        minutes = (theirs["cpu_seconds"], ours["cpu_seconds"], ours["wall_seconds"])
        theirs_cpu, ours_cpu, wall = (f"{seconds / 60:.1f}" for seconds in minutes)
        yield [variant, theirs_cpu, ours_cpu, f"{costs['cpu_ratio']:.1f}", wall]


def _bank_rows(report: dict[str, Any]) -> Iterator[list[str]]:
    for size, result in report["sizes"].items():
        yield [
            f"{int(size):,}" if int(size) else "fresh rows",
            f"{result['mean']:.2f} ± {result['std']:.2f}",
            f"{result['rows_cpu_seconds']:.0f}",
            f"{result['images_cpu_seconds']:.0f}",
            *(str(result.get(name, "")) for name in _COMPARED),
        ]
