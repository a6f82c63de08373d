"""The training loop: it resumes, reports, writes checkpoints and ends on request, whatever the training."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.run.context import RunContext, RunError, StopFlag, Stopped
from trainer.run.cost import RunCost
from trainer.run.loop import TrainingLoop
from trainer.run.process_group import ProcessGroup
from trainer.run.report import Reporter


@dataclass(frozen=True)
class Config:
    """Options of a training that adds 1 to a weight in every step."""

    amount: float = 1.0


class Training:
    """A training of seven steps, with a checkpoint after every third."""

    def __init__(self, run_dir: Path, *, resume: bool = False, config: Config | None = None) -> None:
        run_dir.mkdir(exist_ok=True)
        self.reporter = Reporter(run_dir, run_dir, jsonl=True)
        self.context = RunContext(run_dir, run_dir, "cpu", "v1", resume, self.reporter, StopFlag())
        self.layer = torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
        self.layer.weight.zero_()
        self.config, self.cost = config or Config(), RunCost()
        self.steps: list[int] = []

    def loop(self, group: ProcessGroup | None = None) -> TrainingLoop:
        return TrainingLoop(
            self.config,
            self.context,
            self.cost,
            {"layer": self.layer},
            steps=7,
            checkpoint_at=lambda done: done % 3 == 0,
            lower="amount",
            images_per_step=2,
            group=group,
        )

    def train(self, *, stop_after: int = 0, group: ProcessGroup | None = None) -> None:
        loop = self.loop(group)
        for step in loop:
            self.layer.weight += self.config.amount
            self.steps.append(step)
            self.context.stop.requested = loop.done == stop_after
            loop.report({"weight": float(self.layer.weight)}, 0.5)


def checkpoints(run_dir: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("checkpoint-")) for path in run_dir.glob("checkpoint-*"))


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_all_steps_are_taken_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = Training(tmp_path)
    training.train()
    assert training.steps == list(range(7))
    assert checkpoints(tmp_path) == [3, 6]  # the last step has none: 7 is no multiple of 3
    events = printed(capsys)
    assert [event["path"] for event in events if event["event"] == "artefact"] == [
        "checkpoint-0000003.safetensors",
        "checkpoint-0000006.safetensors",
    ]
    last = events[-1]
    assert (last["step"], last["total_steps"], last["mu_mask"]) == (7, 7, 0.5)
    assert last["values"] == {"weight": 7.0}


def test_a_stop_writes_a_checkpoint_and_a_resumed_run_takes_the_steps_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = Training(tmp_path)
    with pytest.raises(Stopped):
        stopped.train(stop_after=4)
    assert (stopped.steps, checkpoints(tmp_path)) == ([0, 1, 2, 3], [3, 4])
    (tmp_path / "checkpoint-0000005.safetensors").write_bytes(b"not a checkpoint")
    capsys.readouterr()
    resumed = Training(tmp_path, resume=True)
    resumed.train()
    assert resumed.steps == [4, 5, 6]
    assert float(resumed.layer.weight) == 7
    assert resumed.cost.resumed_at_step == 4
    assert resumed.cost.seconds > stopped.cost.seconds > 0
    lines = [event["line"] for event in printed(capsys) if event["event"] == "log"]
    assert lines[0].startswith("checkpoint-0000005.safetensors is damaged")
    assert lines[1:] == ["resuming after step 4"]


def test_a_stop_after_the_last_step_ends_the_run_as_usual(tmp_path: Path) -> None:
    training = Training(tmp_path)
    training.train(stop_after=7)
    assert checkpoints(tmp_path) == [6, 7]


def test_a_cancelled_step_is_taken_again(tmp_path: Path) -> None:
    training = Training(tmp_path)
    loop = training.loop()

    def train() -> None:
        for step in loop:
            if step == 2:
                training.context.stop.requested = True
                assert loop.stop_requested()
                loop.cancel_step()
            training.layer.weight += 1

    with pytest.raises(Stopped):
        train()
    assert checkpoints(tmp_path) == [2]
    resumed = Training(tmp_path, resume=True)
    resumed.train()
    assert (resumed.steps[0], float(resumed.layer.weight)) == (2, 7)


def test_a_new_run_removes_the_checkpoints_of_an_earlier_one(tmp_path: Path) -> None:
    Training(tmp_path).train()
    assert Training(tmp_path).loop().start == 0
    assert checkpoints(tmp_path) == []


def test_a_checkpoint_of_other_options_is_refused(tmp_path: Path) -> None:
    Training(tmp_path).train()
    with pytest.raises(RunError, match="other options"):
        Training(tmp_path, resume=True, config=Config(amount=2.0)).loop()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_option_to_lower(
    tmp_path: Path, value: float
) -> None:
    loop = Training(tmp_path).loop()
    assert next(iter(loop)) == 0
    with pytest.raises(RunError, match=r"no longer finite after step 1 \(bad\); lower amount"):
        loop.report({"good": 1.0, "bad": value})


def test_every_includes_the_last_step(tmp_path: Path) -> None:
    loop = Training(tmp_path).loop()
    assert [step for step in loop if loop.every(3)] == [2, 5, 6]


def test_only_the_main_process_reports_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    group = ProcessGroup("cpu")
    group.rank = 1
    training = Training(tmp_path)
    with pytest.raises(Stopped):
        training.train(stop_after=3, group=group)
    assert (checkpoints(tmp_path), printed(capsys)) == ([], [])
