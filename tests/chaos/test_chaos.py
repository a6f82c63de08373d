"""A short run of the chaos suite."""

import json
from pathlib import Path

import pytest

from tests.chaos.__main__ import main, plan
from tests.chaos.faults import FAULTS

ROUNDS = 5


def test_a_seed_plans_the_same_rounds_with_every_fault_equally_often() -> None:
    rounds = plan(50, 0)
    assert rounds == plan(50, 0)
    assert rounds != plan(50, 1)
    planned = [strike.fault for round_ in rounds for strike in round_.planned]
    assert set(planned) == set(FAULTS)
    assert max(map(planned.count, FAULTS)) - min(map(planned.count, FAULTS)) <= 1


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_jobs_survive_a_few_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "chaos.json"
    assert main(["--rounds", str(ROUNDS), "--seed", "2", "--out", str(out)]) == 0, capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result["sound_rounds"] == len(result["rounds"]) == ROUNDS
    assert result["struck"]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_job_survives_a_kill_of_the_whole_stack_and_its_watcher_sees_one_history(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "chaos.json"
    options = ["--rounds", "1", "--seed", "4", "--fault", "kill_everything", "--out", str(out)]
    assert main(options) == 0, capsys.readouterr().out
    (round_,) = json.loads(out.read_text())["rounds"]
    assert set(round_["struck"]) == {"kill_everything"}
    assert round_["attempts"] > 1 and round_["connections"] > 1
