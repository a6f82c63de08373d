"""`make soak`: minutes of mixed load on a generator, while clients, Redis and models come and go.

Then the final account: every call answered once, by a status it may end by, with the pixels that the engine
gives in this process; memory flat once the caches are full. A generator that leaks and errs on purpose must
be flagged by the same means.
"""

import argparse
import dataclasses
import json
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.__main__ import table
from benchmarks.results import Result
from benchmarks.soak.growth import Slope
from benchmarks.soak.leaky import LEAK_BYTES
from benchmarks.soak.ledger import Verdict
from benchmarks.soak.run import Run
from common.settings import REPO
from trainer.run.provenance import current_commit, machine

OUTPUT = REPO / "out" / "soak.json"
# Of the time, for the positive control, and the least that shows a leak.
_CONTROL_SHARE, _CONTROL_SECONDS = 1 / 4, 40.0


def soak(minutes: float, seed: int, threads: int) -> tuple[list[Result], dict[str, Any]]:
    """The run and its positive control: rows for the table, and what is behind them."""
    with tempfile.TemporaryDirectory(prefix="cgn-soak-") as name:
        print(f"{minutes:g} minutes of load with faults ...", flush=True)
        run = Run(Path(name) / "run", "services.generator", 60 * minutes, seed, threads)
        slope, verdict, told = _account(run, faults=True)
        print("the positive control ...", flush=True)
        seconds = max(_CONTROL_SECONDS, 60 * minutes * _CONTROL_SHARE)
        control = Run(Path(name) / "control", "benchmarks.soak.leaky", seconds, seed + 1, threads)
        leak, bad, told_of_control = _account(control, faults=False)
    low, high = slope.lowest, slope.highest
    rows = [
        _row("calls", "calls that were begun", verdict.calls, "calls", "> 0", verdict.calls > 0),
        _row(
            "answered", "calls without an end, or with two", len(verdict.lost + verdict.twice), "calls", "0"
        ),
        _row("statuses", "calls that ended by what they may not end by", len(verdict.strange), "calls", "0"),
        _row("pixels", f"wrong of {verdict.images} images drawn again", len(verdict.wrong), "images", "0"),
        _row("exit", "exit status after SIGTERM", told["exit"], "", "0"),
        _row(
            "memory",
            f"growth of memory with full caches; 95 % interval {low:.0f} to {high:.0f}",
            slope.estimate,
            "B/s",
            "interval contains 0",
            low <= 0 <= high,
        ),
        _row(
            "control_memory",
            f"a generator that leaks {LEAK_BYTES} B a call: {leak.lowest:.0f} to {leak.highest:.0f}",
            leak.estimate,
            "B/s",
            "interval above 0",
            leak.grows,
        ),
        _row(
            "control_pixels",
            f"a generator that errs: wrong of {bad.images} images",
            len(bad.wrong),
            "images",
            "> 0",
            bool(bad.wrong),
        ),
    ]
    return rows, {"minutes": minutes, "run": told, "control": told_of_control}


def _account(run: Run, faults: bool) -> tuple[Slope, Verdict, dict[str, Any]]:
    """A run from its start to its account."""
    try:
        slope = run.run(faults)
        metrics = run.generator.metrics()
    finally:
        status = run.close()
    verdict = run.verdict()
    told = dataclasses.asdict(verdict) | {"slope": dataclasses.asdict(slope)}
    told |= {"seconds": run.seconds, "faults": run.faults, "clients_killed": len(run.killed), "exit": status}
    told["complaints"] = {name: told.pop(name)[:20] for name in ("lost", "twice", "strange", "wrong")}
    kept = (
        "cgn_requests_total{",
        "cgn_rows_total{",
        "cgn_row_cache_",
        "cgn_refusals_total",
        "cgn_engine_deaths",
    )
    told["metrics"] = {name: value for name, value in metrics.items() if name.startswith(kept)}
    return slope, verdict, told


def _row(id: str, measure: str, value: float, unit: str, goal: str, met: bool | None = None) -> Result:
    return Result(f"soak/{id}", measure, value, unit, None, None, goal, value == 0 if met is None else met)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the soak, prints and writes its results; 0 if every goal is met."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of load and faults (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=4, help="of a client (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="JSON file to write (default: %(default)s)")
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(given)
    rows, told = soak(arguments.minutes, arguments.seed, arguments.threads)
    print(table(rows))
    written = {
        "command": f"python -m benchmarks.soak {shlex.join(given)}".rstrip(),
        "commit": current_commit(),
        "machine": machine(),
        "results": [dataclasses.asdict(row) for row in rows],
        **told,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(written, indent=1) + "\n")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
