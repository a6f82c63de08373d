"""`make fuzz N=100000`: sends invalid input to both servers. Exit status 1 if an input does harm."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.run import Report, fuzz


def allowed_growth(inputs: int) -> int:
    """Returns the bytes that a server may grow by: memory kept by allocators, and 100 per input."""
    return (8 << 20) + 100 * inputs


def check_memory(report: Report) -> None:
    """Raises AssertionError if a server's memory has grown with its input."""
    for service in report.memory:
        growth, allowed = report.growth(service), allowed_growth(report.inputs // 4)
        assert growth <= allowed, f"{service} grew by {growth} bytes in the second half, {allowed} allowed"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("inputs", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="seed of the input; default 0")
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
    print(f"{report.inputs} inputs sent; both servers are unharmed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
