"""Prometheus itself accepts the rules, scrapes every process, and finds every metric of the rules."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cgn_client import CgnError, Client, composite
from common.settings import REPO
from deploy.local import LocalStack
from testing.processes import wait_for
from testing.random_model import publish_random

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))


@pytest.fixture(autouse=True)
def needs_prometheus() -> None:
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        cure = "Prometheus is not on PATH: apt-get install prometheus"
        if os.environ.get("CI"):
            pytest.fail(cure)
        pytest.skip(cure)


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def promtool(*arguments: str | Path) -> None:
    answer = subprocess.run(["promtool", *arguments], check=False, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_promtool_accepts_the_configuration() -> None:
    promtool("check", "config", "--lint-fatal", PROMETHEUS / "prometheus.yml")


def test_rules_pass_their_tests() -> None:
    promtool("test", "rules", *sorted((PROMETHEUS / "tests").glob("*.yml")))


def test_every_alert_is_tested_to_fire_and_to_stay_silent() -> None:
    cases = [
        case
        for path in (PROMETHEUS / "tests").glob("*.yml")
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
    ]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert alerts == {case["alertname"] for case in cases if case["exp_alerts"]}
    assert alerts == {case["alertname"] for case in cases if not case["exp_alerts"]}


class Prometheus:
    """The HTTP API of a running Prometheus."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/api/v1"

    def get(self, path: str, **parameters: str) -> Any:
        with urllib.request.urlopen(
            f"{self._url}/{path}?{urllib.parse.urlencode(parameters)}", timeout=10
        ) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result

    def targets(self) -> dict[str, str]:
        return {target["labels"]["job"]: target["health"] for target in self.get("targets")["activeTargets"]}

    def metric_names(self) -> set[str]:
        return set(self.get("label/__name__/values"))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    publish_random(tmp_path / "models", "random")
    with LocalStack(apart=tmp_path) as stack:
        yield stack


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_scrape_has_every_metric_of_the_rules(stack: LocalStack) -> None:
    prometheus = Prometheus(stack.address("prometheus"))
    expected = {"generator", "trainer", "worker", "prometheus"}
    wait_for("targets up", lambda: prometheus.targets() == dict.fromkeys(expected, "up"))

    with Client(stack.address("generator"), stack.address("trainer")) as client:
        # Long enough for a scrape of what is told of running jobs only.
        some: dict[str, Any] = {
            "steps": 5000,
            "batch_size": 4,
            "train_images": 100,
            "publish_collapsed": True,
        }
        client.submit("train_cgn", model_name="some", dataset="colored_mnist", **some)

        def all_rules_have_something() -> bool:
            # Rates need two scrapes of a moving counter, so the calls go on.
            label = len(prometheus.metric_names()) % 10
            client.generate("random", [composite(label, label, label)], ["composite", "mask"])
            return recorded <= prometheus.metric_names()

        recorded = {rule["record"] for rule in rules() if "record" in rule}
        wait_for("a sample of every recording rule", all_rules_have_something, seconds=90)

    with Client(stack.address("generator"), timeout=0.2) as hasty:

        def a_refusal_is_told() -> bool:
            with contextlib.suppress(CgnError):
                hasty.generate("random", [composite(1, 2, 3) for _ in range(1000)])
            return "cgn_refusals_total" in prometheus.metric_names()

        wait_for("a refusal for want of time", a_refusal_is_told)

    named = {name for rule in rules() for name in re.findall(r"\bcgn_\w+|\bup\b", rule["expr"])}
    assert {"cgn_mu_mask_lowest", "cgn_mask_border_highest", "cgn_mask_soft_highest"} <= named
    assert {"cgn_workers", "cgn_requests_total", "up", "cgn_job_idle_seconds", "cgn_job_mu_mask"} <= named
    wait_for("every metric that a rule names", lambda: named <= prometheus.metric_names(), seconds=90)
    assert {rule["health"] for group in prometheus.get("rules")["groups"] for rule in group["rules"]} == {
        "ok"
    }
    assert [sample["metric"] for sample in prometheus.query("cgn:images:rate1m")] == [
        {"__name__": "cgn:images:rate1m", "model": "random", "version": "v1"}
    ]


@pytest.mark.long
def test_the_documented_query_returns_data(stack: LocalStack) -> None:
    (query,) = re.findall(r"```promql\n(.*?)```", (REPO / "docs/quickstart.md").read_text(), re.DOTALL)
    prometheus = Prometheus(stack.address("prometheus"))
    with Client(stack.address("generator")) as client:
        results = client.generate("random", [composite(label, 0, 0, seed=label) for label in (3, 5)])
    asked = {str(result.shape.label_name): result.mu_mask for result in results if result.shape}
    answer = wait_for("an answer", lambda: prometheus.query(query), seconds=90)
    means = {sample["metric"]["class"]: float(sample["value"][1]) for sample in answer}
    assert means == pytest.approx(asked) and all(0 < mean < 1 for mean in means.values())
    assert {(s["metric"]["model"], s["metric"]["version"]) for s in answer} == {("random", "v1")}
