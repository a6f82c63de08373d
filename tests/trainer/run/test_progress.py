"""Progress without a terminal: few lines, and none longer than 80 characters."""

import sys
from pathlib import Path

import pytest

from cgn_api.v1 import trainer_pb2 as pb
from deploy.job_progress import JobProgress
from trainer.run.report import Reporter

VALUES = dict.fromkeys(("generator", "discriminator", "binary", "mask", "style", "restarts"), 0.123456)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "__stdout__", None)


def test_the_demo_s_lines_fit_and_are_few(capsys: pytest.CaptureFixture[str]) -> None:
    message = "the masks of all 10 classes have collapsed: " + ", ".join(["border mass 0.3"] * 20)
    with JobProgress() as progress:
        for step in range(1, 1001):
            progress_message = pb.Progress(
                step=step, total_steps=1000, eta_seconds=1e6, mu_mask=0.25, values=VALUES
            )
            progress.show(pb.JobEvent(progress=progress_message))
        progress.show(pb.JobEvent(log_line=message))
    shown, bar = capsys.readouterr()
    lines = shown.splitlines()
    assert all(len(line) <= 80 for line in lines) and bar == ""
    steps = [line for line in lines if line.startswith("  step ")]
    assert [line.split(",")[0] for line in steps] == [f"  step {n}00 of 1000" for n in range(1, 11)]
    assert all(line.endswith("mean mask 0.250") for line in steps)
    assert " ".join(" ".join(lines[len(steps) :]).split()) == message


def test_a_run_s_lines_are_few_and_none_is_shown_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.run.report._SECONDS_BETWEEN_REPORTS", 0.0)
    reporter = Reporter(tmp_path, tmp_path, jsonl=False)
    for steps in (30, 100):  # the second attempt goes all the way
        reporter.begin(0, 100)
        for step in range(1, steps + 1):
            reporter.progress(step, VALUES, 0.25)
            if step == 25:
                reporter.log("a look at the masks")
        reporter.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines if line.startswith("step")] == [
        f"step {step} of 100" for step in (*range(10, 31, 10), *range(10, 101, 10))
    ]
    assert lines.count("a look at the masks") == 2 and len(lines) == 15
    assert all(len(line) <= 80 for line in lines)
