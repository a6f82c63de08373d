"""The old module paths of the runs, `python -m trainer.runs.<kind>`. Cards of published models quote them.

They work for one release. `python -m trainer <kind>` replaces them.
"""

import sys

from trainer.__main__ import main


def run_old_path(kind: str) -> int:
    """Carries out a run of a kind and names the new command on stderr. Returns the exit code."""
    print(f"note: `python -m trainer.runs.{kind}` is now `python -m trainer {kind}`", file=sys.stderr)
    return main([kind, *sys.argv[1:]])
