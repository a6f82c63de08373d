"""A command line of a run, built and parsed."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from trainer.run.command_line import add_run_options, run_options


@pytest.mark.parametrize(("resume", "resume_from"), [(False, None), (True, Path("runs/other"))])
def test_what_is_built_is_parsed_as_the_same(resume: bool, resume_from: Path | None) -> None:
    parser = argparse.ArgumentParser()
    add_run_options(parser)
    options: dict[str, Any] = {
        "config": Path("a file.json"),
        "run_dir": Path("run"),
        "models_dir": Path("models"),
        "version": "v1",
        "resume": resume,
        "resume_from": resume_from,
    }
    assert vars(parser.parse_args(run_options(**options))) == {**options, "jsonl": True}
