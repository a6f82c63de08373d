"""A run that continues from the checkpoints of another run changes no file there."""

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


def test_the_command_line_continues_from_another_run(tmp_path: Path) -> None:
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
    parent, child = tmp_path / "parent", tmp_path / "child"
    (parent / "member-00").mkdir(parents=True)
    child.mkdir()
    for name in ("config.json", "log.txt", "checkpoint-1", "half.part", "member-00/config.json"):
        (parent / name).write_text(f"parent's {name}")
    (child / "config.json").write_text("child's own")
    # A run that was killed while copying may leave these files.
    (child / ".inheriting").mkdir()
    (child / ".inheriting" / "checkpoint-0").write_text("half")
    (child / "member-00").mkdir()
    fork_run(parent, child)
    assert set(contents(child)) == {
        "config.json",
        "checkpoint-1",
        "member-00/config.json",
        "resumed_from.txt",
    }
    assert (child / "config.json").read_text() == "child's own"
    (child / "checkpoint-1").write_text("further on")
    fork_run(parent, child)
    assert (child / "checkpoint-1").read_text() == "further on"
    assert (parent / "checkpoint-1").read_text() == "parent's checkpoint-1"
