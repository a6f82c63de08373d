"""docs/own_images.md: its commands, its jobs and its table name what there is."""

import ast
import re
from dataclasses import asdict, fields

from cgn.metrics.collapse import MaskMeasures
from common.settings import REPO
from trainer.classifier.config import EvaluateClassifierConfig, TrainClassifierConfig
from trainer.mnist.config import TrainCgnConfig
from trainer.run.options import config_from_dict

TEXT = (REPO / "docs" / "own_images.md").read_text()


def test_its_options_exist() -> None:
    named = {name.replace("-", "_") for name in re.findall(r"--([a-z][a-z0-9-]+)", TEXT)}
    runs = TrainCgnConfig, TrainClassifierConfig, EvaluateClassifierConfig
    known = {field.name for config in runs for field in fields(config)}
    assert len(named) > 10 and named <= known


def test_its_jobs_are_valid() -> None:
    (images,) = re.findall(r"images = (\{.*\})", TEXT)
    common = ast.literal_eval(images)
    trained = config_from_dict(TrainCgnConfig, {"model_name": "my_birds", **common})
    used = {"model_name": "my_birds", "train_on": "original+counterfactual", **common}
    assert asdict(trained)["folder"] == config_from_dict(TrainClassifierConfig, used).folder
    assert config_from_dict(TrainCgnConfig, {"mask_lowest": 0.1, "mask_highest": 0.55})


def test_its_table_names_every_measure_of_the_collapse_report() -> None:
    rows = set(re.findall(r"^\| `([a-z]+)`", TEXT, re.MULTILINE))
    assert rows | {"mean"} == {field.name for field in fields(MaskMeasures)}
