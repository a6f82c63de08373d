"""`make soak`: mixed load on a generator, while clients, Redis and models are killed, damaged and replaced.

Then it checks that every call ended exactly once, with an allowed status, and with the pixels that the engine
computes in this process. Memory must not grow once the caches are full. As a positive control, the same
checks must flag a generator that leaks memory and returns wrong pixels on purpose.
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
from benchmarks.soak.ledger import LedgerReport
from benchmarks.soak.run import Run
from common.settings import REPO
from trainer.run.provenance import current_commit, machine

OUTPUT = REPO / "out" / "soak.json"
# Share of the time for the positive control, and the minimum to detect a leak.
_CONTROL_SHARE, _CONTROL_SECONDS = 1 / 4, 40.0


def soak(minutes: float, seed: int, threads: int) -> tuple[list[Result], dict[str, Any]]:
    """Runs the load and the positive control. Returns rows for the table, and the details."""
    with tempfile.TemporaryDirectory(prefix="cgn-soak-") as name:
        print(f"running {minutes:g} minutes of load with faults ...", flush=True)
        run = Run(Path(name) / "run", "services.generator", 60 * minutes, seed, threads)
        slope, ledgers, details = _account(run, faults=True)
        print("running the positive control ...", flush=True)
        seconds = max(_CONTROL_SECONDS, 60 * minutes * _CONTROL_SHARE)
        control = Run(Path(name) / "control", "benchmarks.soak.leaky", seconds, seed + 1, threads)
        leak, bad, control_details = _account(control, faults=False)
    low, high = slope.lowest, slope.highest
    rows = [
        _row("calls", "calls started", ledgers.calls, "calls", "> 0", ledgers.calls > 0),
        _row(
            "answered", "calls that did not end exactly once", len(ledgers.lost + ledgers.twice), "calls", "0"
        ),
        _row(
            "statuses",
            "calls that ended with a status that is not allowed",
            len(ledgers.strange),
            "calls",
            "0",
        ),
        _row(
            "pixels",
            f"wrong images among {ledgers.images} recomputed ones",
            len(ledgers.wrong),
            "images",
            "0",
        ),
        _row("exit", "exit status after SIGTERM", details["exit"], "", "0"),
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
            f"a generator that leaks {LEAK_BYTES} B per call; "
            f"95 % interval {leak.lowest:.0f} to {leak.highest:.0f}",
            leak.estimate,
            "B/s",
            "interval above 0",
            leak.grows,
        ),
        _row(
            "control_pixels",
            f"wrong images among {bad.images} of a generator with errors",
            len(bad.wrong),
            "images",
            "> 0",
            bool(bad.wrong),
        ),
    ]
    return rows, {"minutes": minutes, "run": details, "control": control_details}


def _account(run: Run, faults: bool) -> tuple[Slope, LedgerReport, dict[str, Any]]:
    """Performs a run. Returns the growth of memory, the check of the ledgers, and details."""
    try:
        slope = run.run(faults)
        metrics = run.generator.metrics()
    finally:
        status = run.close()
    ledgers = run.check_ledgers()
    details = dataclasses.asdict(ledgers) | {"slope": dataclasses.asdict(slope)}
    details |= {
        "seconds": run.seconds,
        "faults": run.faults,
        "clients_killed": len(run.killed_ledgers),
        "exit": status,
    }
    details["complaints"] = {name: details.pop(name)[:20] for name in ("lost", "twice", "strange", "wrong")}
    prefixes = (
        "cgn_requests_total{",
        "cgn_rows_total{",
        "cgn_row_cache_",
        "cgn_refusals_total",
        "cgn_engine_deaths",
    )
    details["metrics"] = {name: value for name, value in metrics.items() if name.startswith(prefixes)}
    return slope, ledgers, details


def _row(id: str, measure: str, value: float, unit: str, goal: str, met: bool | None = None) -> Result:
    return Result(f"soak/{id}", measure, value, unit, None, None, goal, value == 0 if met is None else met)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the soak, prints and writes its results. Returns 0 if every goal is met."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes of load (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of load and faults (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=4, help="threads per client (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="JSON file to write (default: %(default)s)")
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(words)
    rows, details = soak(arguments.minutes, arguments.seed, arguments.threads)
    print(table(rows))
    report = {
        "command": f"python -m benchmarks.soak {shlex.join(words)}".rstrip(),
        "commit": current_commit(),
        "machine": machine(),
        "results": [dataclasses.asdict(row) for row in rows],
        **details,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
