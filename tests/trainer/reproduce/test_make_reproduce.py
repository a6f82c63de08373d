"""`make reproduce` and the run behind its cells, with real but tiny training."""

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import torch

from cgn.data import source
from cgn.store import versions
from cgn_api.v1 import trainer_pb2 as pb
from cgn_client import Client
from deploy.local import LocalStack
from services.errors import ApiError
from services.trainer.specs import job_spec, spec_message
from testing.processes import ModuleProcess, wait_for
from testing.random_model import publish_random
from trainer.reproduce.__main__ import main
from trainer.reproduce.table2.cell import reproduce_cell
from trainer.reproduce.table2.config import ReproduceCellConfig as Cell
from trainer.run.context import RunContext, RunError, StopFlag, Stopped
from trainer.run.exit_codes import BAD_OPTIONS
from trainer.run.options import stored_options
from trainer.run.report import Reporter

TINY: dict[str, Any] = {"steps": 2, "images_seen": 128}


@pytest.fixture(autouse=True)
def bundled_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    torch.set_num_threads(1)  # batches are tiny: threads would only wait for each other


def context(folder: Path, name: str = "run", *, resume: bool = False) -> RunContext:
    run_dir, models_dir = folder / name, folder / "models"
    run_dir.mkdir(exist_ok=True)
    reporter = Reporter(run_dir, models_dir, jsonl=True)
    return RunContext(run_dir, models_dir, "cpu", name, resume, reporter, StopFlag())


def result_of(where: RunContext) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((where.run_dir / "cell.json").read_text())
    return result


def reproduce(folder: Path, *options: str, **environment: str) -> ModuleProcess:
    where = ("--work-dir", str(folder / "work"))
    env = {"OMP_NUM_THREADS": "1", **environment}
    return ModuleProcess("trainer.reproduce", *where, *options, log=folder / f"{uuid4()}.log", env=env)


def test_a_cell_trains_the_cgn_of_its_seed_once_and_says_where_it_all_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = Cell(method="cgn", seed=1, **TINY)
    where = context(tmp_path)
    assert reproduce_cell(cell, where).model_name == ""
    result = result_of(where)
    name, version = cell.model
    card = versions.read_card(tmp_path / "models", name, version)
    assert result["model"] == {"name": "colored_mnist-seed1", "version": version, "digest": card.digest}
    assert result["seeds"] == {"train_cgn": 1, "train_classifier": 1}
    assert result["trial"] is True
    assert 0 <= result["scores"]["test"]["accuracy"] <= 100
    assert {"train", "in_domain", "validation", "test"} == set(result["scores"])
    assert result["cpu_seconds"] > 0 and result["wall_seconds"] > 0
    assert result["machine"]["torch"] == torch.__version__
    assert result["data"]["counterfactual"]["digest"] == card.digest
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["kind"] for event in said if event["event"] == "artefact"][-1] == "cell"
    assert {"step", "eta_seconds"} <= next(event for event in said if event["event"] == "progress").keys()

    model = context(tmp_path, "model")
    published = reproduce_cell(dataclasses.replace(cell, method="model"), model)
    assert (published.model_name, published.model_version) == (name, version)
    assert result_of(model)["model"] == result["model"]  # the same one, not trained again
    assert not (model.run_dir / "train_cgn").exists()
    assert list(result_of(model)["masks"]) == [str(digit) for digit in range(10)]
    assert result_of(model)["restarts"] == 0
    assert result_of(model)["cpu_seconds"] == card.training["cpu_seconds"]


def test_a_stopped_cell_goes_on_to_the_same_scores_and_adds_up_what_it_took(tmp_path: Path) -> None:
    cell = Cell(method="original", images_seen=256)
    whole, first = context(tmp_path, "whole"), context(tmp_path, "broken")
    reproduce_cell(cell, whole)
    first.stop.requested = True
    with pytest.raises(Stopped):
        reproduce_cell(cell, first)
    spent = json.loads((first.run_dir / "train_classifier" / "spent.json").read_text())
    second = context(tmp_path, "broken", resume=True)
    reproduce_cell(cell, second)
    assert result_of(second)["scores"] == result_of(whole)["scores"]
    assert result_of(second)["cpu_seconds"] > spent["cpu_seconds"] > 0
    assert result_of(second)["digest"] == result_of(whole)["digest"]


def test_a_full_cell_refuses_the_bundled_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "DOWNLOAD_DIR", tmp_path / "nothing")
    for variant, says in (
        ("colored", "needs the full MNIST: `make data`"),
        ("wildlife", "the paper's textures"),
    ):
        with pytest.raises(RunError, match=says):
            reproduce_cell(Cell(variant=variant), context(tmp_path))
    assert not (tmp_path / "models").exists()


@pytest.mark.long
def test_a_named_cell_is_made_again_and_a_pattern_leaves_what_is_done(tmp_path: Path) -> None:
    result = tmp_path / "work/trials/cells/colored/original/4.json"
    with reproduce(tmp_path, "--cell", "colored/original/4", "--images-seen", "128") as run:
        assert run.process.wait(100) == 0, run.log()
        assert "[1/1] colored/original/4: test " in run.log()
    first = json.loads(result.read_text())
    with reproduce(tmp_path, "--cell", "colored/original/[4]", "--images-seen", "128") as run:
        assert run.process.wait(100) == 0, run.log()
        assert run.log() == "1 of 1 cells exist; CELL=colored/original/4 makes this cell again\n"
    assert json.loads(result.read_text()) == first
    with reproduce(tmp_path, "--cell", "colored/original/4", "--images-seen", "128") as run:
        assert run.process.wait(100) == 0, run.log()
    again = json.loads(result.read_text())
    assert again["scores"] == first["scores"]
    assert again["finished"] > first["finished"]


@pytest.mark.long
def test_ctrl_c_stops_a_cell_that_the_same_command_goes_on_with_while_another_one_waits(
    tmp_path: Path,
) -> None:
    def log() -> str:
        return "".join(path.read_text() for path in tmp_path.rglob("log.txt"))

    options = ("--cell", "colored/original/0", "--images-seen", "10000000")
    with reproduce(tmp_path, *options) as run:
        wait_for("the first steps", lambda: list(tmp_path.rglob("metrics.jsonl")))
        assert run.stop(signal.SIGINT) == 3
        assert "stopped; the same command resumes" in run.log()
        assert "Traceback" not in run.log()
    assert not (tmp_path / "work/trials").exists()
    with reproduce(tmp_path, *options) as run:
        wait_for("the run to go on", lambda: "resuming after step" in log())
        assert "resuming after step 0" not in log()
        with reproduce(tmp_path, *options) as other:
            other.wait_for_log("waiting for cells that other processes make: colored/original/0")
            assert other.stop(signal.SIGINT) == 3
        assert run.stop(signal.SIGINT) == 3


def test_any_registered_cgn_takes_the_place_of_the_seed_s_own(tmp_path: Path) -> None:
    publish_random(tmp_path / "models", "tiny")
    where = {"CGN_MODELS_DIR": str(tmp_path / "models")}
    options = ("--model", "tiny:v1", "--images-seen", "128")
    with reproduce(tmp_path, "--cell", "colored/cgn/2", *options, **where) as run:
        assert run.process.wait(100) == 0, run.log()
    result = json.loads((tmp_path / "work/trials/cells/colored/cgn/tiny@v1-2.json").read_text())
    assert result["model"]["name"] == "tiny"
    assert result["command"].startswith("make reproduce CELL=colored/cgn/2 MODEL=tiny:v1 ")
    assert "train_cgn" not in result["runs"]
    assert not (tmp_path / "work/models").exists()


def test_what_cannot_be_made_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_random(tmp_path / "models", "tiny")
    monkeypatch.setenv("CGN_MODELS_DIR", str(tmp_path / "models"))
    for options, says in (
        (("--cell", "colored/gun/0"), "error: CELL: 'colored/gun/0': method: must be one of"),
        (("--images-seen", "-1"), "error: images_seen: must be 1 to 2^32 - 1; absent: the recipe's"),
        (("--model", "nobody"), "error: model: no model 'nobody'"),
        (
            ("--model", "tiny"),
            "error: CELL: must name a cell, as tiny was trained on no data set of table 2",
        ),
        (("--model", "tiny", "--cell", "colored/oracle/0"), "error: model_name: must be empty"),
    ):
        assert main(["--work-dir", str(tmp_path / "work"), *options]) == BAD_OPTIONS
        _, errors = capsys.readouterr()
        assert errors.startswith(says)
        assert errors.count("\n") == 1
    assert not (tmp_path / "work").exists()


def test_a_cell_is_a_job_whose_spec_is_checked_and_filled_in(tmp_path: Path) -> None:
    requested = pb.ReproduceCellSpec(variant="wildlife", method="oracle")
    filled = spec_message(job_spec(pb.JobSpec(reproduce_cell=requested), tmp_path)).reproduce_cell
    assert {field.name: value for field, value in filled.ListFields()} == stored_options(
        Cell(variant="wildlife", method="oracle")
    )
    for bad, field in (
        (pb.ReproduceCellSpec(method="gun"), "spec.reproduce_cell.method"),
        (pb.ReproduceCellSpec(model_name="missing"), "spec.reproduce_cell.model_name"),
        (pb.ReproduceCellSpec(method="oracle", model_name="missing"), "spec.reproduce_cell.model_name"),
    ):
        with pytest.raises(ApiError) as caught:
            job_spec(pb.JobSpec(reproduce_cell=bad), tmp_path)
        assert [name for name, _ in caught.value.violations] == [field]


@pytest.mark.long
def test_a_job_makes_a_cell_and_publishes_the_cgn_of_its_seed(tmp_path: Path) -> None:
    with (
        LocalStack(apart=tmp_path, services=("redis-jobs", "trainer", "worker")) as stack,
        Client(trainer=stack.address("trainer")) as client,
    ):
        job = client.submit("reproduce_cell", variant="colored", method="original_cgn", **TINY)
        report = {event.WhichOneof("event") for event in client.watch(job.job_id)}
        assert {"progress", "artefact", "log_line"} <= report
        ended = client.get_job(job.job_id)
        assert ended.state == pb.JOB_STATE_SUCCEEDED, ended.message
        (cell,) = [artefact for artefact in ended.artefacts if artefact.kind == "cell"]
        client.fetch(job.job_id, cell.path, tmp_path / "cell.json")
        result = json.loads((tmp_path / "cell.json").read_text())
        assert result["cell"] == "colored/original_cgn/0"
        (model,) = [artefact for artefact in ended.artefacts if artefact.kind == "model"]
        assert (stack.folder("models") / model.path / "card.json").is_file()
        assert model.path == f"{result['model']['name']}/{result['model']['version']}"
