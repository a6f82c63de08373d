"""`make bench`: what this project claims of its speed, measured beside what it is compared to.

Everything of a row is measured in one run, in turns, and quoted as medians and ratios. Prints a table and
writes the results as JSON.
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
    """Runs the groups that are asked for, and returns the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--id", default="", help=f"one of {', '.join(GROUPS)}, or a row of it (default: all)")
    parser.add_argument("--tiny", action="store_true", help="next to nothing of each, to see that it works")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="JSON file to write (default: %(default)s)")
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(given)
    asked = arguments.id.replace("imagenet", "11", 1)
    wanted = asked.split("/")[0]
    if wanted and wanted not in GROUPS:
        parser.error(f"--id: must be one of {', '.join(GROUPS)}, or a row of it, is {arguments.id!r}")
    keep_memory()
    sizes = TINY if arguments.tiny else FULL
    results: list[Result] = []
    failed = []
    for name in [wanted] if wanted else GROUPS:
        print(f"measuring row {name} ...", file=sys.stderr, flush=True)
        try:
            results += [row for row in GROUPS[name](sizes) if asked in ("", name, row.id)]
        except Exception:  # the other rows are worth having without it
            traceback.print_exc()
            failed.append(name)
    if not results and not failed:
        parser.error(f"--id: {arguments.id!r} is no row of {wanted}")
    told = {
        "command": f"python -m benchmarks {shlex.join(given)}".rstrip(),
        "commit": current_commit(),
        "machine": machine(),
    }
    told = with_earlier(arguments.out if wanted else None, told, results)
    print(table(results))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(told, indent=1) + "\n")
    if failed:
        print(f"error: no result of row {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def with_earlier(path: Path | None, told: dict[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    """What is told of results, with those of other rows that the file, if any, has of this machine.

    `measured` says of each run which rows are its.
    """
    new = {result.id for result in results}
    runs = [{"command": told["command"], "commit": told["commit"], "ids": sorted(new)}]
    rows = [dataclasses.asdict(result) for result in results]
    if path and path.is_file() and (before := json.loads(path.read_text()))["machine"] == told["machine"]:
        rows += [row for row in before["results"] if row["id"] not in new]
        for run in before.get("measured", []):
            if left := [name for name in run["ids"] if name not in new]:
                runs.append(run | {"ids": left})
    places = {name: place for place, name in enumerate(GROUPS)}
    rows.sort(key=lambda row: places[row["id"].split("/")[0]])
    return told | {"measured": runs, "results": rows}


def table(results: Sequence[Result]) -> str:
    """The results in columns, for people."""
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
