"""Directories of attempts: a rename takes them over, so late writes of a stalled worker fail."""

from pathlib import Path

import pytest

from trainer.run.directories import (
    Superseded,
    artefact_file,
    leave_to_successor,
    remove_unpublished,
    take_over,
)

JOB = "0123456789ab"


def test_a_new_attempt_has_all_files_and_the_attempt_before_cannot_write(tmp_path: Path) -> None:
    stalled = take_over(tmp_path, JOB, 7)
    (stalled / "checkpoint").write_text("done")
    (stalled / "samples").mkdir()
    (stalled / "samples" / "half.part").write_text("hal")
    log = (stalled / "log.txt").open("w")
    print("first", file=log, flush=True)
    fresh = take_over(tmp_path, JOB, 9)
    assert fresh.name == "attempt-9"
    assert (fresh / "checkpoint").read_text() == "done"
    assert not (fresh / "samples" / "half.part").exists()
    for late in ("checkpoint", "other", "samples/sheet"):
        with pytest.raises(FileNotFoundError):
            (stalled / late).write_text("late")
    print("late", file=log, flush=True)  # it still has the file open
    assert (fresh / "log.txt").read_text() == "first\n"
    log.close()


def test_an_earlier_attempt_cannot_take_over_from_a_later_one(tmp_path: Path) -> None:
    (take_over(tmp_path, JOB, 9) / "checkpoint").write_text("done")
    with pytest.raises(Superseded):
        take_over(tmp_path, JOB, 8)
    assert [path.name for path in (tmp_path / JOB).iterdir()] == ["attempt-9"]


def test_the_directory_of_a_worker_that_has_lost_the_job_is_removed(tmp_path: Path) -> None:
    (take_over(tmp_path, JOB, 9) / "checkpoint").write_text("done")
    late = tmp_path / JOB / "attempt-8"
    late.mkdir()
    leave_to_successor(tmp_path, JOB, 9)
    assert (tmp_path / JOB / "attempt-9").exists()  # no later attempt exists, so the next attempt needs it
    leave_to_successor(tmp_path, JOB, 8)
    assert not late.exists()
    late.mkdir()
    assert (take_over(tmp_path, JOB, 10) / "checkpoint").read_text() == "done"
    assert [path.name for path in (tmp_path / JOB).iterdir()] == ["attempt-10"]


def test_an_artefact_is_found_in_the_latest_attempt_and_nowhere_else(tmp_path: Path) -> None:
    assert artefact_file(tmp_path, f"{JOB}/scores.json") is None
    for token in (9, 10):  # by number, not by name
        (tmp_path / JOB / f"attempt-{token}").mkdir(parents=True)
        (tmp_path / JOB / f"attempt-{token}" / "scores.json").write_text(str(token))
    file = artefact_file(tmp_path, f"{JOB}/scores.json")
    assert file and file.read_text() == "10"
    (tmp_path / "secret").write_text("")
    (tmp_path / JOB / "attempt-10" / "link").symlink_to(tmp_path / "secret")
    for path in (f"{JOB}/other", f"{JOB}/../../secret", f"{JOB}/link", JOB, "", f"../{JOB}/scores.json"):
        assert artefact_file(tmp_path, path) is None, path


def test_only_unpublished_versions_of_earlier_attempts_are_removed(tmp_path: Path) -> None:
    names = [
        f".publishing-job-{JOB}-attempt-7-x1",
        f".publishing-job-{JOB}-attempt-9-x2",
        f".publishing-job-{JOB}-attempt-10-x3",
        ".publishing-job-ba9876543210-attempt-8-x4",
        f"job-{JOB}",
    ]
    for name in names:
        (tmp_path / "my_cgn" / name).mkdir(parents=True)
    remove_unpublished(tmp_path, f"job-{JOB}", 9)
    assert {path.name for path in (tmp_path / "my_cgn").iterdir()} == set(names[2:])
