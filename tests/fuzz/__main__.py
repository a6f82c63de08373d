"""`make fuzz N=100000`: bad input for both servers; exit status 1 and the input that hurt if one minds."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.run import Report, fuzz


def allowed_growth(inputs: int) -> int:
    """Bytes that a server may grow by over so many inputs: what allocators keep, and 100 an input."""
    return (8 << 20) + 100 * inputs


def check_memory(report: Report) -> None:
    """AssertionError if a server has grown with what was sent to it."""
    for service in report.memory:
        growth, allowed = report.growth(service), allowed_growth(report.inputs // 4)
        assert growth <= allowed, f"{service} grew by {growth} bytes in the second half, {allowed} allowed"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("inputs", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="of what is sent; default 0")
    args = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        report = fuzz(args.inputs, Path(folder), first_seed=args.seed, say=say)
    methods = sorted({method for method, _ in report.answers})
    for method in methods:
        codes = {code: count for (name, code), count in sorted(report.answers.items()) if name == method}
        print(f"{method}: " + ", ".join(f"{code} {count}" for code, count in codes.items()))
    print(f"{report.raw} connections of raw bytes")
    for service, taken in report.memory.items():
        print(f"{service}: {taken[0] >> 20} MiB at the start, {taken[-1] >> 20} at the end")
    check_memory(report)
    print(f"{report.inputs} inputs, none minded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
