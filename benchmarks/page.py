"""`make bench-table`: writes the committed results of `make bench` and `make soak` into the pages.

`docs/benchmarks.md` has all rows and the costs, the repository's `README.md` has a summary of the speed.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import cost_page
from common.settings import REPO
from trainer.reproduce.cell.files import write_text
from trainer.reproduce.cell.markdown import between_marks, table

PAGE, README = REPO / "docs" / "benchmarks.md", REPO / "README.md"
RESULTS = REPO / "docs" / "results"
BENCH = "bench.json"
FILES = (BENCH, "soak.json")  # of RESULTS; one that is missing has no rows
BEGIN, END = "<!-- from bench.json and soak.json, by make bench-table -->", "<!-- end of speed -->"
_HEADINGS = ("", "measure", "value", "beside", "ratio", "goal", "met")
_MET = {True: "yes", False: "**no**", None: ""}


def render(results: Path) -> str:
    """Returns the results of a folder as Markdown: a table, then command and machine of each file."""
    files = {name: json.loads((results / name).read_text()) for name in FILES if (results / name).is_file()}
    rows = [row for report in files.values() for row in _rows(report["results"])]
    sources = [
        f"- [`{name}`](results/{name}), {report['machine']['cpu']}, {report['machine']['threads']} threads: "
        + "; ".join(_run(run) for run in report.get("measured", [report]))
        for name, report in files.items()
    ]
    return "\n".join([table(_HEADINGS, rows), "", *sources]).strip()


def _run(report: dict[str, Any]) -> str:
    return f"`{report['command']}` of commit {report['commit'][:10]}"


def _rows(results: list[dict[str, Any]]) -> Iterator[list[str]]:
    for result in results:
        baseline, ratio = result["baseline"], result["ratio"]
        yield [
            result["id"],
            result["measure"].replace("|", "\\|"),
            f"{result['value']:,.4g} {result['unit']}".strip(),
            "" if baseline is None else f"{baseline:,.4g}",
            "" if ratio is None else f"{ratio:.3g}x",
            "" if result["goal"] == "reported" else result["goal"],
            _MET[result["met"]],
        ]


def summary(results: Path) -> str:
    """Returns the speed in a few lines of Markdown. The folder must have the results of `make bench`."""
    result = json.loads((results / BENCH).read_text())
    rows = {row["id"]: row for row in result["results"]}
    goals = [row["met"] for row in rows.values() if row["met"] is not None]
    lines = [
        f"New images: {_speed(rows['1/bfloat16'])}; plain PyTorch has {_baseline(rows['1/bfloat16'])}.",
        "Every combination of 10 shapes, 10 textures and 10 backgrounds: "
        f"{_speed(rows['2/bfloat16'])}; plain PyTorch has {_baseline(rows['2/bfloat16'])}.",
        f"Repeated images over gRPC: {_speed(rows['6/memory'])}; "
        f"new images over gRPC: {_baseline(rows['6/memory'])}.",
        f"The speed goals: {sum(goals)} of {len(goals)} are met "
        f"({result['machine']['cpu']}, {result['machine']['threads']} threads).",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _speed(row: dict[str, Any]) -> str:
    return f"{row['value']:,.0f} {row['unit']}"


def _baseline(row: dict[str, Any]) -> str:
    return f"{row['baseline']:,.0f}"


def main() -> int:
    """Writes the tables into the pages, and returns the exit code."""
    costs = cost_page.render(RESULTS)
    text = between_marks(PAGE.read_text(encoding="utf-8"), BEGIN, END, render(RESULTS))
    write_text(PAGE, between_marks(text, cost_page.BEGIN, cost_page.END, costs))
    write_text(README, between_marks(README.read_text(encoding="utf-8"), BEGIN, END, summary(RESULTS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
