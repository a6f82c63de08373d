"""What training a CGN and recombining its rows cost, as part of `docs/results/README.md`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.reproduce.cell.markdown import table

# Of the results, a file and a folder; either may be missing.
COST, BANKS = "training_cost.json", "recombination"
BEGIN = "<!-- from training_cost.json and recombination/, by make bench-table -->"
END = "<!-- end of costs -->"
_COST_HEADINGS = ("", "authors, CPU minutes", "ours, CPU minutes", "times less", "ours, minutes on the wall")
_COMPARED = ("points_lost", "times_faster", "times_faster_with_rows")
_BANKS_HEADINGS = (
    "rows a bank", "validation accuracy", "rows, CPU s", "images, CPU s",
    "points lost", "times faster", "with the rows",
)  # fmt: skip


def render(results: Path) -> str:
    """The results in a folder as Markdown."""
    parts = []
    if (path := results / COST).is_file():
        told = json.loads(path.read_text())
        parts += [_part("What training costs", told, table(_COST_HEADINGS, _cost_rows(told)), COST)]
    for path in sorted((results / BANKS).glob("*.json")):
        told = json.loads(path.read_text())
        heading = f"What recombination costs: {told['model']['name']}, {told['images']:,} images"
        parts += [_part(heading, told, table(_BANKS_HEADINGS, _bank_rows(told)), f"{BANKS}/{path.name}")]
    return "\n\n".join(parts)


def _part(heading: str, told: dict[str, Any], rows: str, file: str) -> str:
    threads = told["machine"]["threads"]
    where = f"{told['machine']['cpu']}, {threads} thread{'s' if threads > 1 else ''}"
    changed = " with changed files" if told["commit"].endswith("+") else ""
    commit = f"{told['commit'][:10]}{changed}"
    source = f"[`{file}`]({file}), {where}: `{told['command']}` of commit {commit}"
    return f"### {heading}\n\n{rows}\n\n{source}"


def _cost_rows(told: dict[str, Any]) -> Iterator[list[str]]:
    for variant, costs in told["variants"].items():
        theirs, ours = costs["authors"], costs["ours"]
        minutes = (theirs["cpu_seconds"], ours["cpu_seconds"], ours["wall_seconds"])
        theirs_cpu, ours_cpu, wall = (f"{seconds / 60:.1f}" for seconds in minutes)
        yield [variant, theirs_cpu, ours_cpu, f"{costs['cpu_ratio']:.1f}", wall]


def _bank_rows(told: dict[str, Any]) -> Iterator[list[str]]:
    for size, found in told["sizes"].items():
        yield [
            f"{int(size):,}" if int(size) else "fresh rows",
            f"{found['mean']:.2f} ± {found['std']:.2f}",
            f"{found['rows_cpu_seconds']:.0f}",
            f"{found['images_cpu_seconds']:.0f}",
            *(str(found.get(name, "")) for name in _COMPARED),
        ]
