"""`make bench-table`: writes the committed results of `make bench` and `make soak` into the pages.

`docs/benchmarks.md` has all rows and the costs, the repository's `README.md` has a summary of the speed.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
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
_HEADINGS = ("row", "measure", "value", "baseline", "ratio", "goal", "met")
# The files keep the words of the release that measured them. The page has the words of this release.
_REWORDED = tuple(
    (re.compile(old), new)
    for old, new in (
        ("no row known", "no row cached"),
        (r"in batches, the banks' rows included: banks of", "in batches, including the rows of the banks:"),
        (r"\(the fewest that cost at most", "(the smallest banks that cost at most"),
        (r"^the same of this project's networks,", "the same, this project's networks,"),
        (r"\bfresh, one raw image a request", "fresh, one raw image per request"),
        (r"\bimages a request", "images per request"),
        (r"^fresh counterfactuals over gRPC", "fresh images over gRPC"),
        (r"^repeats counterfactuals over gRPC", "repeats over gRPC"),
        (r"^single counterfactuals over gRPC", "fresh images over gRPC, one per request"),
        ("litserve around plain", "LitServe with plain PyTorch"),
        ("bentoml around plain", "BentoML with plain PyTorch"),
        (
            r"^requests of all these turns that (\w+) failed or left unanswered",
            r"requests that \1 failed or never answered",
        ),
        ("rows from redis", "rows from Redis"),
        (r"at twice the capacity", "under a load of twice the capacity"),
        (r"^growth under fresh load, caches full;", "growth of memory under fresh load with full caches;"),
        (
            "of a process that makes composites, less that of import torch",
            "of a process that generates composites, minus that of import torch",
        ),
        (r"bfloat16 composite from it$", "bfloat16 composite from the authors' formulation"),
        ("that were begun", "started"),
        ("calls without an end, or with two", "calls that did not end exactly once"),
        ("that ended by what they may not end by", "that ended with a status that is not allowed"),
        (r"^wrong of (\d+) images drawn again", r"wrong images among \1 recomputed ones"),
        (r"that leaks (\d+) B a call:", r"that leaks \1 B per call; 95 % interval"),
        (
            r"^a generator that errs: wrong of (\d+) images",
            r"wrong images among \1 of a generator with errors",
        ),
        ("^<= 2x$", "value <= 2x the baseline"),
    )
)
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
            _reworded(result["measure"]).replace("|", "\\|"),
            f"{result['value']:,.4g} {result['unit']}".strip(),
            "" if baseline is None else f"{baseline:,.4g}",
            "" if ratio is None else f"{ratio:.3g}x",
            "" if result["goal"] == "reported" else _reworded(result["goal"]),
            _MET[result["met"]],
        ]


def _reworded(text: str) -> str:
    for old, new in _REWORDED:
        text = old.sub(new, text)
    return text


def summary(results: Path) -> str:
    """Returns the speed in a few lines of Markdown. The folder must have the results of `make bench`."""
    result = json.loads((results / BENCH).read_text())
    rows = {row["id"]: row for row in result["results"]}
    goals = [row["met"] for row in rows.values() if row["met"] is not None]
    lines = [
        f"New images: {_speeds(rows, '1')}.",
        f"Every combination of 10 shapes, 10 textures and 10 backgrounds: {_speeds(rows, '2')}.",
        f"Images over gRPC: {_baseline(rows['6/memory'])} when they are new, "
        f"{_speed(rows['6/memory'])} when they are repeated and come from the cache.",
        f"The speed goals: {sum(goals)} of {len(goals)} are met "
        f"({result['machine']['cpu']}, {result['machine']['threads']} threads).",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _speeds(rows: Mapping[str, dict[str, Any]], id: str) -> str:
    """Returns the speed of the engine in both precisions, and of plain PyTorch beside it."""
    fast, exact = rows[f"{id}/bfloat16"], rows[f"{id}/float32"]
    plain = f"plain PyTorch in float32: {_baseline(exact)}"
    return f"{_speed(fast)} in bfloat16, {exact['value']:,.0f} in float32; {plain}"


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
