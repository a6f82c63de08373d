"""The cost of training beside the authors' recipe: the JSON of the docs, from a few real steps."""

import json
from pathlib import Path

import pytest

from benchmarks.training_cost import BLOCK, main
from trainer.mnist.config import TrainCgnConfig


@pytest.mark.long
def test_both_recipes_are_timed_and_scaled_to_their_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    out = tmp_path / "results" / "cost.json"
    assert main(["--variants", "colored_mnist", "--rounds", "1", "--out", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["command"].startswith("python -m benchmarks.training_cost --variants colored_mnist")
    assert report["commit"] is not None and report["machine"]["threads"] >= 1
    assert report["steps_timed_of_each_stage"] == BLOCK
    (cost,) = report["variants"].values()
    ours, authors = cost["ours"], cost["authors"]
    usual = TrainCgnConfig(dataset="colored_mnist")
    assert (ours["steps"], ours["batch_size"]) == (usual.steps, usual.batch_size)
    assert (authors["steps"], authors["batch_size"]) == (56_250, 16)
    assert len(ours["stages"]) == 3
    for part in (authors, *ours["stages"].values()):
        assert part["cpu_ms_per_step"] > 0
        whole = part["cpu_ms_per_step"] * part["steps"] / 1000
        assert part["cpu_seconds"] == pytest.approx(whole, rel=0.02)
    assert ours["cpu_seconds"] == sum(stage["cpu_seconds"] for stage in ours["stages"].values())
    assert cost["cpu_ratio"] == pytest.approx(authors["cpu_seconds"] / ours["cpu_seconds"], abs=0.06)
    assert f"colored_mnist: authors {authors['cpu_seconds']:,} s" in capsys.readouterr().out


@pytest.mark.parametrize("rounds", ["0", "1000000"])
def test_rounds_out_of_range_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rounds: str
) -> None:
    out = tmp_path / "cost.json"
    with pytest.raises(SystemExit) as exit_:
        main(["--rounds", rounds, "--out", str(out)])
    assert exit_.value.code == 2
    assert "--rounds: must be 1 to" in capsys.readouterr().err
    assert not out.exists()
