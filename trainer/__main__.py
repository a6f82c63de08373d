"""`python -m trainer <kind> [options]`: the one local command for every run."""

import sys
from collections.abc import Sequence
from typing import Any

from trainer.kinds import KINDS
from trainer.run.cli import run_command
from trainer.run.context import Published, RunContext
from trainer.run.exit_codes import BAD_OPTIONS, SUCCEEDED


def main(argv: Sequence[str]) -> int:
    """Runs the kind that the first word names, with the other words as its options.

    Returns:
        The process's exit code, see trainer.run.exit_codes.
    """
    name = argv[0] if argv else ""
    if name in ("-h", "--help"):
        print(_usage())
        return SUCCEEDED
    if name not in KINDS:
        problem = f"{name!r} is no kind of run" if name else "no kind of run is given"
        print(f"error: {problem}; use one of {', '.join(KINDS)}", file=sys.stderr)
        return BAD_OPTIONS
    kind = KINDS[name]

    def run(config: Any, context: RunContext) -> Published:
        return kind.load()(config, context)  # imported only now, so that --help answers at once

    return run_command(kind.config, run, kind.description, argv[1:], program=("trainer", name))


def _usage() -> str:
    width = max(map(len, KINDS))
    lines = [f"  {name:{width}}  {kind.description}" for name, kind in KINDS.items()]
    return "\n".join(
        [
            "usage: python -m trainer KIND [options]",
            "",
            "kinds of run:",
            *lines,
            "",
            "`python -m trainer KIND --help` lists the options of a kind.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
