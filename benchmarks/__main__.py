"""`make bench`: measures this project's speed beside other implementations.

All sides of a row are measured in one run, in alternating turns; medians and ratios are reported. Prints a
table and writes the results as JSON.
"""

import argparse
import dataclasses
import json
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.imagenet_serving import imagenet_rows
from benchmarks.in_process import combinations, fresh, from_banks
from benchmarks.open_loop import open_loop
from benchmarks.over_grpc import caches, efficiency, other_servers
from benchmarks.process_life import health, memory, start
from benchmarks.results import Result
from benchmarks.sizes import FULL, TINY, Sizes
from common.memory import keep_memory
from common.settings import REPO
from trainer.run.provenance import current_commit, machine

OUTPUT = REPO / "out" / "bench.json"

GROUPS: dict[str, Callable[[Sizes], list[Result]]] = {
    "1": fresh,
    "2": combinations,
    "3": from_banks,
    "4": efficiency,
    "5": other_servers,
    "6": caches,
    "7": open_loop,
    "8": start,
    "9": health,
    "10": memory,
    "11": imagenet_rows,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the requested rows. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--id", default="", help=f"row to run: one of {', '.join(GROUPS)}, or a part of it (default: all)"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="run each row with minimal sizes, to check that it works"
    )
    parser.add_argument("--out", type=Path, default=OUTPUT, help="JSON file to write (default: %(default)s)")
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(words)
    row_id = arguments.id.replace("imagenet", "11", 1)
    group = row_id.split("/")[0]
    if group and group not in GROUPS:
        parser.error(f"--id: must be one of {', '.join(GROUPS)}, or a part of it, is {arguments.id!r}")
    keep_memory()
    sizes = TINY if arguments.tiny else FULL
    results: list[Result] = []
    failed = []
    for name in [group] if group else GROUPS:
        print(f"measuring row {name} ...", file=sys.stderr, flush=True)
        try:
            results += [row for row in GROUPS[name](sizes) if row_id in ("", name, row.id)]
        except Exception:  # the other rows are still useful
            traceback.print_exc()
            failed.append(name)
    if not results and not failed:
        parser.error(f"--id: row {group} has no part {arguments.id!r}")
    report = {
        "command": f"python -m benchmarks {shlex.join(words)}".rstrip(),
        "commit": current_commit(),
        "machine": machine(),
    }
    report = with_earlier(arguments.out if group else None, report, results)
    print(table(results))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    if failed:
        print(f"error: no result for row {', '.join(failed)}; the traceback is above", file=sys.stderr)
    return 1 if failed else 0


def with_earlier(path: Path | None, report: dict[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    """Returns the report with `results`, and with earlier results of other rows on the same machine.

    path: file of the earlier report; None: no earlier results. `measured` lists each run with its rows.
    """
    new = {result.id for result in results}
    runs = [{"command": report["command"], "commit": report["commit"], "ids": sorted(new)}]
    rows = [dataclasses.asdict(result) for result in results]
    if path and path.is_file() and (before := json.loads(path.read_text()))["machine"] == report["machine"]:
        rows += [row for row in before["results"] if row["id"] not in new]
        for run in before.get("measured", []):
            if left := [name for name in run["ids"] if name not in new]:
                runs.append(run | {"ids": left})
    places = {name: place for place, name in enumerate(GROUPS)}
    rows.sort(key=lambda row: places[row["id"].split("/")[0]])
    return report | {"measured": runs, "results": rows}


def table(results: Sequence[Result]) -> str:
    """Formats the results as a text table."""
    heads = ("id", "value", "baseline", "ratio", "goal", "met", "measure")
    lines = [
        (
            result.id,
            f"{result.value:.4g} {result.unit}",
            "" if result.baseline is None else f"{result.baseline:.4g}",
            "" if result.ratio is None else f"{result.ratio:.2f}x",
            result.goal,
            {True: "yes", False: "no", None: "-"}[result.met],
            result.measure,
        )
        for result in results
    ]
    widths = [max(len(line[i]) for line in (heads, *lines)) for i in range(len(heads) - 1)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[-1]])
        for line in (heads, *lines)
    )


if __name__ == "__main__":
    sys.exit(main())
