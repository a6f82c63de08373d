"""docs/jobs.md leaves nothing out: states, methods, kinds, reasons, knobs, alerts."""

import dataclasses
import re

import pytest
import yaml

from cgn_api.v1 import trainer_pb2 as pb
from cgn_client import Client
from common.settings import REPO
from trainer.jobs.reasons import Reason
from trainer.jobs.record import JobSpec
from trainer.jobs.states import JobState
from trainer.kinds import KINDS

PAGE = (REPO / "docs" / "jobs.md").read_text()
WORDS = set(re.findall(r"[A-Za-z_]\w*", PAGE))
METHODS = [method.name for method in pb.DESCRIPTOR.services_by_name["TrainerService"].methods]


@pytest.mark.parametrize("names", [list(JobState), METHODS, list(KINDS), list(Reason)], ids=str)
def test_every_name_is_there(names: list[str]) -> None:
    assert [str(name) for name in names if str(name) not in WORDS] == []


def test_every_knob_of_a_job_is_there_with_its_default() -> None:
    for field in dataclasses.fields(JobSpec):
        if field.name in ("kind", "config", "resources"):
            continue
        (row,) = re.findall(rf"^\| `{field.name}`.*$", PAGE, re.MULTILINE)
        if field.default is not dataclasses.MISSING:
            assert row.split("|")[2].strip().startswith(str(field.default))


def test_every_method_of_the_client_is_there() -> None:
    for name in ("submit", "get_job", "list_jobs", "watch", "tail", "cancel", "resume", "retry", "fetch"):
        assert hasattr(Client, name) and f"`{name}`" in PAGE


def test_what_it_names_exists() -> None:
    rules = yaml.safe_load((REPO / "deploy/prometheus/rules/alerts.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert set(re.findall(r"`(Cgn[A-Z]\w+)`", PAGE)) <= alerts
    settings = (REPO / "common" / "settings.py").read_text()
    assert [name for name in re.findall(r"\bCGN_\w+", PAGE) if f'"{name}"' not in settings] == []
    exporter = (REPO / "common/metrics.py").read_text() + (
        REPO / "services/trainer/totals_collector.py"
    ).read_text()
    for name in re.findall(r"`(cgn_jobs?\w*|cgn_oldest\w+|cgn_workers)", PAGE):
        if name != "cgn_client":
            assert f'"{name.removesuffix("_total")}"' in exporter, name
