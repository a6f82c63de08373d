"""A run that goes on from another run's checkpoints leaves that one as it is."""

import subprocess
import sys
from pathlib import Path

from common.settings import REPO
from trainer.run.fork import fork_run


def run_count(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.runs.count", *map(str, arguments)]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=120, check=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_command_line_goes_on_where_the_other_run_was(tmp_path: Path) -> None:
    first, second, models = tmp_path / "first", tmp_path / "second", tmp_path / "models"
    quick = ("--models-dir", models, "--lr-generator", 0.001, "--checkpoint-every", 5)
    assert run_count("--run-dir", first, *quick, "--steps", 10, "--version", "v1").returncode == 0
    before = contents(first)
    ran = run_count("--run-dir", second, "--models-dir", models, "--resume-from", first, "--version", "v2")
    assert ran.returncode == 0, ran.stderr
    assert "begins at step 10" in ran.stderr
    assert contents(first) == before
    assert (models / "my_cgn" / "v2").is_dir()
    again = run_count("--run-dir", tmp_path / "x", "--resume-from", tmp_path / "none")
    assert again.returncode == 2
    assert again.stderr.startswith("error: --resume-from: must be the directory of a run")


def test_files_are_copied_once_and_completely(tmp_path: Path) -> None:
    parent, heir = tmp_path / "parent", tmp_path / "heir"
    (parent / "member-00").mkdir(parents=True)
    heir.mkdir()
    for name in ("config.json", "log.txt", "checkpoint-1", "half.part", "member-00/config.json"):
        (parent / name).write_text(f"parent's {name}")
    (heir / "config.json").write_text("its own")
    # What a run that was killed while it copied may have left.
    (heir / ".inheriting").mkdir()
    (heir / ".inheriting" / "checkpoint-0").write_text("half")
    (heir / "member-00").mkdir()
    fork_run(parent, heir)
    assert set(contents(heir)) == {
        "config.json",
        "checkpoint-1",
        "member-00/config.json",
        "resumed_from.txt",
    }
    assert (heir / "config.json").read_text() == "its own"
    (heir / "checkpoint-1").write_text("further on")
    fork_run(parent, heir)
    assert (heir / "checkpoint-1").read_text() == "further on"
    assert (parent / "checkpoint-1").read_text() == "parent's checkpoint-1"
