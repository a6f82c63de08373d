"""`make bench-table`: the README's table of speed, between two marks and from the committed results alone.

The costs in the page of results are written with it.
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

PAGE = REPO / "README.md"
RESULTS = REPO / "docs" / "results"
FILES = ("bench.json", "soak.json")  # of RESULTS; one that is missing has no rows
BEGIN, END = "<!-- from bench.json and soak.json, by make bench-table -->", "<!-- end of speed -->"
_HEADINGS = ("", "measure", "value", "beside", "ratio", "goal", "met")
_MET = {True: "yes", False: "**no**", None: ""}


def render(results: Path) -> str:
    """The results in a folder as Markdown: a table, and which command and machine each file is of."""
    files = {name: json.loads((results / name).read_text()) for name in FILES if (results / name).is_file()}
    rows = [row for told in files.values() for row in _rows(told["results"])]
    sources = [
        f"- [`{name}`](docs/results/{name}), {told['machine']['cpu']}, {told['machine']['threads']} threads: "
        + "; ".join(_run(run) for run in told.get("measured", [told]))
        for name, told in files.items()
    ]
    return "\n".join([table(_HEADINGS, rows), "", *sources]).strip()


def _run(told: dict[str, Any]) -> str:
    return f"`{told['command']}` of commit {told['commit'][:10]}"


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


def main() -> int:
    """Writes the tables into the pages, and returns the exit code."""
    write_text(PAGE, between_marks(PAGE.read_text(encoding="utf-8"), BEGIN, END, render(RESULTS)))
    results, costs = RESULTS / "README.md", cost_page.render(RESULTS)
    page = between_marks(results.read_text(encoding="utf-8"), cost_page.BEGIN, cost_page.END, costs)
    write_text(results, page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
