"""A new kind of run takes a config, a run function and a line of the table (docs/extending.md)."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from trainer.__main__ import main
from trainer.kinds import KINDS
from trainer.run.context import Published, RunContext
from trainer.run.cost import RunCost
from trainer.run.exit_codes import BAD_OPTIONS, STOPPED, SUCCEEDED
from trainer.run.kind import Kind
from trainer.run.loop import TrainingLoop
from trainer.run.options import HIGHEST_COUNT, HIGHEST_SEED, check_options, option
from trainer.run.provenance import provenance


@dataclass(frozen=True)
class TrainToyConfig:
    """Options of `train_toy`. Raises FieldError."""

    steps: int = option(9, "training steps", low=1, high=HIGHEST_COUNT)
    seed: int = option(0, "seed of initialisation and data", low=0, high=HIGHEST_SEED)
    learning_rate: float = option(0.1, "Adam's learning rate", above=0, high=1)
    checkpoint_every: int = option(3, "steps between checkpoints", low=1, high=HIGHEST_COUNT)
    stop_after: int = option(
        0, "step after which the run sends SIGTERM to itself", low=1, high=HIGHEST_COUNT, zero="never"
    )

    def __post_init__(self) -> None:
        check_options(self)


def train_toy(config: TrainToyConfig, context: RunContext) -> Published:
    """Fits a linear layer to the sum of three random numbers. Writes ``scores.json`` and publishes no model.

    Raises:
        RunError: the loss is not finite.
        Stopped: a stop was requested; a checkpoint is written.
    """
    cost = RunCost()
    torch.manual_seed(config.seed)
    layer = torch.nn.Linear(3, 1)
    adam = torch.optim.Adam(layer.parameters(), config.learning_rate)
    random = torch.Generator().manual_seed(config.seed)
    loop = TrainingLoop(
        config,
        context,
        cost,
        {"layer": layer, "adam": adam, "random": random},
        steps=config.steps,
        checkpoint_at=lambda done: done % config.checkpoint_every == 0,
        lower="learning_rate",
        images_per_step=8,
    )
    for _ in loop:
        x_N3 = torch.randn(8, 3, generator=random)
        loss = F.mse_loss(layer(x_N3), x_N3.sum(1, keepdim=True))
        adam.zero_grad()
        loss.backward()
        adam.step()
        if loop.done == config.stop_after:
            signal.raise_signal(signal.SIGTERM)
        loop.report({"mse": float(loss.detach())})
    scores = {"weights": layer.weight.tolist(), **cost.summary()}
    path = context.run_dir / "scores.json"
    path.write_text(json.dumps(scores | provenance("train_toy", config, context.version)))
    context.reporter.artefact("scores", path)
    return Published()


TRAIN_TOY = Kind(
    "train_toy",
    TrainToyConfig,
    run="tests.trainer.run.test_toy_kind:train_toy",
    description="Fits a linear layer to a sum.",
)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The one line of the table; and the state of the process, which a run changes, as it was before."""
    monkeypatch.setitem(KINDS, TRAIN_TOY.name, TRAIN_TOY)
    monkeypatch.setattr("trainer.run.cli.keep_memory", lambda: None)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run_toy(run_dir: Path, *options: str) -> int:
    return main(["train_toy", "--run-dir", str(run_dir), "--jsonl", *options])


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def fitted(run_dir: Path) -> Any:
    return json.loads((run_dir / "scores.json").read_text())["weights"]


def test_a_run_reports_its_progress_its_files_and_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_toy(tmp_path, "--steps", "7") == SUCCEEDED
    lines = events(capsys)
    assert [line["path"] for line in lines if line["event"] == "artefact"] == [
        "checkpoint-0000003.safetensors",
        "checkpoint-0000006.safetensors",
        "scores.json",
    ]
    progress = [line for line in lines if line["event"] == "progress"]
    assert (progress[0]["step"], progress[-1]["step"], progress[-1]["total_steps"]) == (1, 7, 7)
    assert 0 < progress[-1]["values"]["mse"] < 100
    assert lines[-2:] == [
        {"event": "result", "model_name": "", "model_version": ""},
        {"event": "end", "code": SUCCEEDED},
    ]
    assert json.loads((tmp_path / "config.json").read_text())["steps"] == 7


def test_a_stopped_run_continues_to_the_same_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run_toy(whole) == SUCCEEDED
    assert run_toy(stopped, "--stop-after", "4") == STOPPED
    assert events(capsys)[-1] == {"event": "end", "code": STOPPED}
    assert not (stopped / "scores.json").exists()
    assert run_toy(stopped, "--resume") == SUCCEEDED
    lines = events(capsys)
    assert lines[0] == {"event": "log", "line": "resuming after step 4"}
    assert [line["step"] for line in lines if line["event"] == "progress"] == [5, 9]
    assert fitted(stopped) == fitted(whole)


def test_the_command_line_checks_the_options_and_lists_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_toy(tmp_path, "--steps", "0") == BAD_OPTIONS
    assert capsys.readouterr().err == "error: steps: must be 1 to 2^32 - 1, is 0\n"
    with pytest.raises(SystemExit):
        main(["train_toy", "--help"])
    assert "--learning-rate FLOAT" in capsys.readouterr().out
