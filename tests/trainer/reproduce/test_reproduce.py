"""The comparison's cells: which there are, when one is done, and what is gathered from their files."""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from cgn.errors import CgnInputError
from cgn.store import checkpoint
from cgn.store.versions import CheckpointError
from common.settings import REPO
from testing.random_model import publish_random
from trainer.reproduce.catalog import planned, selected
from trainer.reproduce.cell.cell import command, digest
from trainer.reproduce.cell.files import Results
from trainer.reproduce.cell.locks import alone_in
from trainer.reproduce.miniature import config as miniature
from trainer.reproduce.ship import ship
from trainer.reproduce.table2 import page, table
from trainer.reproduce.table2.config import SEEDS
from trainer.reproduce.table2.config import ReproduceCellConfig as Cell
from trainer.reproduce.table2.methods import IDEAS, METHODS, VARIANTS
from trainer.run.options import FieldError

RESULTS = REPO / "docs" / "results"


def classifier_result(cell: Cell, test: float, validation: float, **changes: Any) -> dict[str, Any]:
    """A cell's file as a run writes it, with made-up accuracies in per cent."""
    unbiased = {
        "accuracy": test,
        "accuracy_where_a_cue_agrees": 100.0,
        "accuracy_where_none_agrees": test - 1,
    }
    scores = {
        "train": {"accuracy": 99.0 + cell.seed},
        "in_domain": {"accuracy": 98.0},
        "validation": {**unbiased, "accuracy": validation},
        "test": unbiased,
    }
    model = {"digest": f"weights of seed {cell.seed}"} if cell.model_cell else None
    costs = {"wall_seconds": 60.0 * (cell.seed + 1), "cpu_seconds": 120.0}
    about = {"cell": cell.key, "digest": digest(cell), "trial": cell.trial}
    return {**about, "scores": scores, "model": model, **costs, **changes}


def model_result(cell: Cell, **changes: Any) -> dict[str, Any]:
    model = {"digest": f"weights of seed {cell.seed}"}
    costs = {"wall_seconds": 600.0, "cpu_seconds": 900.0}
    about = {"cell": cell.key, "digest": digest(cell), "trial": cell.trial}
    return {**about, "restarts": cell.seed, "model": model, **costs, **changes}


def write_some(results: Results) -> None:
    for seed in (0, 1):
        for method, test, validation in (
            ("original", 30.0, 31.0),
            ("cgn", 94.0, 96.0),
            ("original_cgn", 95.0, 95.0),
            ("oracle", 98.0, 98.0),
        ):
            cell = Cell(variant="colored", method=method, seed=seed)
            results.write(cell, classifier_result(cell, test + 2 * seed, validation))
        cell = Cell(variant="colored", method="model", seed=seed)
        results.write(cell, model_result(cell))


def test_every_variant_method_and_seed_has_a_cell_and_each_cgn_comes_before_its_users() -> None:
    cells = planned()
    in_table = len(VARIANTS) * len(METHODS) * len(SEEDS)
    assert len({cell.key for cell in cells}) == len(cells) == in_table + len(IDEAS) + len(miniature.planned())
    for place, cell in enumerate(cells):
        trained_by = cell.model_cell
        assert trained_by is None or cells.index(trained_by) <= place
    assert {cell.key.split("/")[-1] for cell in cells[: len(VARIANTS) * len(METHODS)]} == {"0"}


def test_an_idea_is_the_row_of_counterfactuals_with_one_option_changed() -> None:
    row = asdict(Cell(variant="double_colored", method="cgn", seed=1).classifier())
    for idea in IDEAS:
        options = asdict(Cell(variant="double_colored", method=idea, seed=1).classifier())
        assert len([name for name in row if options[name] != row[name]]) == 1


def test_ideas_are_shown_beside_the_row_that_they_change(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for method, test in (("cgn", 96.5), ("no_jitter", 90.25)):
        cell = Cell(variant="double_colored", method=method, seed=1)
        results.write(cell, classifier_result(cell, test, test - 1))
    table.write(results)
    shown = [line for line in page.render(tmp_path).splitlines() if "jitter" in line or "CGN only" in line]
    assert shown[-2].startswith("| CGN only | 95.50 | 96.50 |")
    assert shown[-1].startswith("| no jitter of shape and colours | 89.25 | 90.25 |")
    assert "no_jitter" not in json.loads((tmp_path / "table2.json").read_text())["double_colored"]


def test_a_name_selects_a_cell_of_any_seed_and_a_pattern_those_that_are_planned() -> None:
    assert selected("wildlife/cgn/17") == [Cell(variant="wildlife", method="cgn", seed=17)]
    assert [cell.key for cell in selected("colored/cgn/*")] == [f"colored/cgn/{seed}" for seed in SEEDS]
    assert {cell.key.split("/")[0] for cell in selected("colored/*")} == {"colored"}
    assert [cell.key for cell in selected("imagenet/miniature/full/3")] == ["imagenet/miniature/full/3"]
    assert selected("imagenet/*") == miniature.planned()
    for bad, says in (
        ("colored/cgn", "must be like colored/model/0"),
        ("colored/cgn/x", "must be like colored/model/0"),
        ("grey/cgn/0", "variant: must be one of"),
        ("imagenet/miniature/gun/0", "row: must be one of"),
        ("imagenet/miniature/full", "must be like colored/model/0"),
        ("colored/gun/0", "method: must be one of"),
        ("colored/cgn/-1", "seed: must be 0 to"),
        ("grey/*", "matches no cell"),
    ):
        with pytest.raises(FieldError, match=re.escape(says)) as caught:
            selected(bad)
        assert caught.value.field == "CELL"
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"variant": "colored_mnist"}, "variant", '"wildlife"'),
        ({"method": "gun"}, "method", '"oracle"'),
        ({"seed": -1}, "seed", "0 to 2^63 - 1"),
        ({"method": "oracle", "model_name": "mine"}, "model_name", "uses no CGN; these methods use one"),
        ({"model_version": "v1"}, "model_version", "no model_name"),
        ({"model_name": "mine", "steps": 5}, "steps", "not trained"),
    ],
)
def test_impossible_cells_are_refused(values: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(FieldError, match=re.escape(says)) as caught:
        Cell(**values)
    assert caught.value.field == field


def test_the_runs_of_a_cell_have_its_seed_its_model_and_otherwise_the_recipe() -> None:
    cell = Cell(variant="wildlife", method="original_cgn", seed=3)
    name, version = cell.model
    assert name == "wildlife_mnist-seed3"
    assert (name, version) == Cell(variant="wildlife", method="model", seed=3).model
    result = cell.runs()
    assert result["train_cgn"]["seed"] == result["train_classifier"]["seed"] == 3
    assert result["train_cgn"]["dataset"] == result["train_classifier"]["dataset"] == "wildlife_mnist"
    assert (result["train_classifier"]["model_name"], result["train_classifier"]["model_version"]) == (
        name,
        version,
    )
    assert list(Cell(method="oracle").runs()) == ["train_classifier"]
    passed = Cell(method="cgn", model_name="mine", model_version="v2")
    assert "train_cgn" not in passed.runs()
    assert passed.runs()["train_classifier"]["model_version"] == "v2"


def test_a_trial_is_another_run_with_another_model() -> None:
    cell, trial = Cell(), Cell(steps=20, images_seen=640)
    assert trial.trial and not cell.trial
    assert digest(trial) != digest(cell)
    assert trial.model[1] != cell.model[1]
    assert command(trial) == 'make reproduce CELL=colored/cgn/0 ARGS="--steps 20 --images-seen 640"'
    assert command(Cell(model_name="a", model_version="v1")) == "make reproduce CELL=colored/cgn/0 MODEL=a:v1"


def test_a_cell_is_done_while_its_options_and_the_model_of_its_seed_stay(tmp_path: Path) -> None:
    results = Results(tmp_path)
    cell, model = Cell(), Cell(method="model")
    assert not results.is_done(cell)
    results.write(cell, classifier_result(cell, 90.0, 90.0))
    assert results.is_done(cell)
    results.write(model, model_result(model))
    assert results.is_done(cell) and results.is_done(model)
    results.write(model, model_result(model, model={"digest": "other weights"}))
    assert not results.is_done(cell)
    results.write(model, model_result(model))
    results.write(cell, classifier_result(cell, 90.0, 90.0, digest="of other options"))
    assert not results.is_done(cell)
    results.path(cell).write_text('{"cell": "colo')
    assert not results.is_done(cell)


def test_results_of_a_given_model_are_kept_apart(tmp_path: Path) -> None:
    results = Results(tmp_path)
    write_some(results)
    before = table.gather(results)
    passed = Cell(model_name="mine", model_version="v1")
    results.write(passed, classifier_result(passed, 10.0, 10.0, model={"digest": "mine"}))
    assert results.is_done(passed) and results.is_done(Cell())
    assert table.gather(results) == before


def test_the_table_has_each_row_s_seeds_mean_and_sample_deviation(tmp_path: Path) -> None:
    results = Results(tmp_path)
    write_some(results)
    gathered, summary = table.gather(results)
    assert list(gathered) == ["colored"]
    assert gathered["colored"]["cgn"] == {
        "seeds": [94.0, 96.0], "mean": 95.0, "std": 1.41, "train": 99.5, "in_domain": 98.0,
    }  # fmt: skip
    assert list(gathered["colored"]) == ["original", "cgn", "original_cgn", "oracle"]
    facts = summary["colored"]
    assert facts["chosen"] == "cgn"  # by validation, though original_cgn tests better
    assert facts["gap_closed"] == {"cgn": 94.1, "original_cgn": 95.6}
    assert facts["scores"]["cgn"]["test"]["accuracy_where_none_agrees"] == 94.0
    assert facts["models"] == {
        "seeds": [0, 1], "restarts": [0, 1],
        "minutes_median": 10.0, "minutes_highest": 10.0, "cpu_minutes_median": 15.0,
    }  # fmt: skip
    assert facts["classifiers"]["cgn"]["minutes_median"] == 1.5


def test_a_trial_and_a_seed_that_was_not_planned_are_in_no_table(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for cell in (Cell(steps=5, images_seen=640), Cell(seed=SEEDS.stop)):
        results.write(cell, classifier_result(cell, 50.0, 50.0))
    assert table.gather(results) == ({}, {})
    cell = Cell(seed=1)
    results.write(cell, classifier_result(cell, 50.0, 50.0))
    gathered, _ = table.gather(results)
    assert gathered["colored"]["cgn"]["seeds"] == [50.0]
    assert gathered["colored"]["cgn"]["std"] is None


def test_cells_of_other_options_are_told_of(tmp_path: Path) -> None:
    results = Results(tmp_path)
    write_some(results)
    assert table.outdated(results) == []
    cell = Cell(method="oracle", seed=1)
    results.write(cell, classifier_result(cell, 98.0, 98.0, digest="of other options"))
    assert table.outdated(results) == ["colored/oracle/1"]


def test_the_page_is_written_between_its_marks(tmp_path: Path) -> None:
    results = Results(tmp_path)
    write_some(results)
    table.write(results)
    readme = tmp_path / "readme"
    for file in (tmp_path / page.PAGE, readme):
        file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write(results, tmp_path / page.PAGE, readme)
    assert page.shown(readme) == page.means(tmp_path)
    assert "| counterfactuals | 95.0 | – | – |" in readme.read_text()
    text = (tmp_path / page.PAGE).read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| CGN only | 95.00 ± 1.41 (worst of 2: 94.00) | – | – |" in text
    assert "| better row on validation | CGN only | – | – |" in text
    assert "| its share of the oracle gap | 94.1 % | – | – |" in text
    assert "| colored | 0, 1 | 0, 1 | 10.0 | 10.0 | 15.0 |" in text
    page.write(results, tmp_path / page.PAGE, readme)
    assert (tmp_path / page.PAGE).read_text() == text


def test_the_repository_s_results_are_of_the_present_options() -> None:
    results = Results(RESULTS)
    created = [cell for cell in planned() if results.read(cell)]
    assert created and all(results.is_done(cell) for cell in created)


def test_the_repository_s_table_and_page_are_those_of_its_cells() -> None:
    gathered, summary = table.gather(Results(RESULTS))
    assert json.loads((RESULTS / table.TABLE).read_text()) == gathered, "run `make reproduce-table`"
    assert json.loads((RESULTS / table.SUMMARY).read_text()) == summary, "run `make reproduce-table`"
    assert page.shown(RESULTS.parent / page.PAGE) == page.render(RESULTS).strip("\n"), (
        "run `make reproduce-table`"
    )
    assert page.shown(REPO / page.README) == page.means(RESULTS), "run `make reproduce-table`"


def test_a_folder_belongs_to_one_process_until_that_ends(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from trainer.reproduce.cell.locks import alone_in\n"
        f"with alone_in(pathlib.Path({str(tmp_path / 'cell')!r})) as alone: print(alone, flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPO, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout and owner.stdout.readline() == "True\n"
    with alone_in(tmp_path / "cell") as alone:
        assert not alone
    owner.kill()
    owner.wait()
    with alone_in(tmp_path / "cell") as alone:
        assert alone
    owner.communicate()


def test_a_shipped_cgn_is_that_of_its_results_with_their_scores(tmp_path: Path) -> None:
    results, created, models = Results(tmp_path / "results"), tmp_path / "made", tmp_path / "models"
    name, version = Cell(variant="wildlife", method="model", seed=3).model
    card = publish_random(created, name, version, terms=["for tests"])
    arguments = ("wildlife", 3, results, created, models)
    cells = [Cell(variant="wildlife", method=method, seed=3) for method in ("cgn", "original_cgn")]
    for cell, digest_there in zip(cells, (card.digest, "another"), strict=True):
        results.write(cell, classifier_result(cell, 93.0, 91.0, model={"digest": digest_there}))
    with pytest.raises(CgnInputError, match="wildlife/original_cgn/3 has not been made with") as caught:
        ship(*arguments, "v9")
    assert not models.exists()
    assert "\n" not in str(caught.value)

    results.write(cells[1], classifier_result(cells[1], 94.0, 92.0, model={"digest": card.digest}))
    shipped = ship(*arguments, "v9")
    assert (shipped.name, shipped.version, shipped.digest) == ("wildlife_mnist", "v9", card.digest)
    assert shipped.terms == ["for tests"]
    assert shipped.scores == {
        "cgn": {"validation": 91.0, "test": 93.0, "from": "docs/results/cells/wildlife/cgn/3.json"},
        "original_cgn": {
            "validation": 92.0,
            "test": 94.0,
            "from": "docs/results/cells/wildlife/original_cgn/3.json",
        },
    }
    assert checkpoint.load(models, "wildlife_mnist").card == shipped
    with pytest.raises(CheckpointError, match="never changes"):
        ship(*arguments, "v9")
