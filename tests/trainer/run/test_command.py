"""`python -m trainer <kind>` runs every kind; the old module paths still work and name the new command."""

import subprocess
import sys

import pytest

from common.settings import REPO
from trainer.__main__ import main
from trainer.kinds import KINDS

# A new kind has no old path, so it is not listed here.
KINDS_WITH_OLD_PATHS = (
    "train_cgn", "train_classifier", "reproduce_cell", "train_imagenet", "train_ensemble",
    "evaluate_classifier", "generate_dataset", "import_weights", "train_biggan", "train_saliency",
    "start_imagenet", "find_failures", "miniature_cell", "imagenet_cell",
)  # fmt: skip


def python_m(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60, check=False)


def test_an_old_module_path_warns_and_gives_the_same_exit_code() -> None:
    old = python_m("trainer.runs.train_cgn", "--steps", "0")
    new = python_m("trainer", "train_cgn", "--steps", "0")
    note = "note: `python -m trainer.runs.train_cgn` is now `python -m trainer train_cgn`\n"
    assert (new.returncode, new.stderr) == (2, "error: steps: must be 1 to 2^32 - 1, is 0\n")
    assert (old.returncode, old.stderr, old.stdout) == (2, note + new.stderr, new.stdout)


def test_every_kind_of_earlier_releases_has_an_old_module_path() -> None:
    paths = {path.stem for path in (REPO / "trainer" / "runs").glob("*.py")} - {"__init__"}
    assert paths == set(KINDS_WITH_OLD_PATHS)
    assert paths <= set(KINDS)


def test_a_kind_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train_gan"]) == 2
    assert main([]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: 'train_gan' is no kind of run; use one of train_cgn, ")
    assert lines[1].startswith("error: no kind of run is given; use one of train_cgn, ")


def test_help_lists_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name}" in text and kind.description in text for name, kind in KINDS.items())
