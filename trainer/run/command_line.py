"""The options that all kinds of run share: their definition, and command lines that set them.

No torch in here: the worker starts runs with these command lines.
"""

import argparse
from pathlib import Path


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options for where and how a run works, next to the options of its config."""
    where = parser.add_argument_group("where and how")
    where.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="JSON file of options; options of the command line replace them",
    )
    where.add_argument(
        "--run-dir",
        type=Path,
        metavar="DIR",
        help="directory of the run's files (default: CGN_RUNS_DIR/<version>)",
    )
    where.add_argument(
        "--models-dir", type=Path, metavar="DIR", help="directory of models (default: CGN_MODELS_DIR)"
    )
    where.add_argument("--version", metavar="TEXT", help="version of the published model (default: the time)")
    where.add_argument(
        "--resume", action="store_true", help="continue the run in --run-dir with its own options"
    )
    where.add_argument(
        "--resume-from",
        type=Path,
        metavar="DIR",
        help="continue from the newest checkpoint of another run, with its options; its files are copied",
    )
    where.add_argument("--jsonl", action="store_true", help="JSON lines on standard output, no progress bar")


def run_options(
    *,
    config: Path,
    run_dir: Path,
    models_dir: Path,
    version: str,
    resume: bool = False,
    resume_from: Path | None = None,
) -> list[str]:
    """Returns the options of a run that another program starts: it reports as JSON lines."""
    return [
        *("--config", str(config)),
        *("--run-dir", str(run_dir)),
        *("--models-dir", str(models_dir)),
        *("--version", version),
        "--jsonl",
        *(["--resume"] if resume else []),
        *(["--resume-from", str(resume_from)] if resume_from else []),
    ]
