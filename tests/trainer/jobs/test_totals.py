"""What Redis has counted of all jobs, as Prometheus reads it."""

import re

import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cgn.metrics.collapse import GROSS_MEAN_ABOVE, GROSS_MEAN_BELOW
from common.settings import REPO
from services.trainer.totals_collector import TotalsCollector
from trainer.jobs.totals import RUN_SECONDS, WAIT_SECONDS, Totals
from trainer.kinds import KINDS


def page(totals: Totals | None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples by name and labels."""
    collector, registry = TotalsCollector(), CollectorRegistry()
    registry.register(collector)
    collector.totals = totals
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_counters_and_histograms_are_what_was_counted() -> None:
    fields = {
        "attempts:train_cgn": "3",
        "lost:train_cgn": "1",
        "requeued:train_cgn:lost": "1",
        "requeued:train_cgn:handed_back": "1",
        "wait:train_cgn:1": "2",
        "wait:train_cgn:3": "1",
        "wait:train_cgn:sum": "12.5",
        f"run:train_cgn:SUCCEEDED:{len(RUN_SECONDS) + 1}": "1",
        "run:train_cgn:SUCCEEDED:sum": "300000.25",
        "run:train_cgn:ASLEEP:1": "1",
    }
    found = page(Totals.from_hash(fields))
    kind = ("kind", "train_cgn")
    assert found["cgn_job_attempts_total", (kind,)] == 3
    assert found["cgn_job_leases_lost_total", (kind,)] == 1
    whys = {
        why: found["cgn_job_requeues_total", (kind, ("why", why))]
        for why in ("lost", "killed", "handed_back")
    }
    assert whys == {"lost": 1, "killed": 0, "handed_back": 1}
    waits = [found["cgn_job_wait_seconds_bucket", (kind, ("le", f"{bound:.1f}"))] for bound in WAIT_SECONDS]
    assert waits == [2, 2, 3, *[3] * (len(WAIT_SECONDS) - 3)]
    assert found["cgn_job_wait_seconds_bucket", (kind, ("le", "+Inf"))] == 3
    assert found["cgn_job_wait_seconds_count", (kind,)] == 3
    assert found["cgn_job_wait_seconds_sum", (kind,)] == 12.5
    state = ("state", "SUCCEEDED")
    runs = [
        found["cgn_job_run_seconds_bucket", (kind, ("le", f"{bound:.1f}"), state)] for bound in RUN_SECONDS
    ]
    assert runs == [0] * len(RUN_SECONDS)
    assert found["cgn_job_run_seconds_bucket", (kind, ("le", "+Inf"), state)] == 1
    assert found["cgn_job_run_seconds_sum", (kind, state)] == 300000.25
    assert not [labels for _, labels in found if ("state", "ASLEEP") in labels]


def test_what_has_not_happened_is_0_and_what_is_not_known_is_not_told() -> None:
    found = page(Totals())
    for kind in KINDS:
        assert found["cgn_job_leases_lost_total", (("kind", kind),)] == 0
        assert found["cgn_job_wait_seconds_count", (("kind", kind),)] == 0
    assert page(None) == {}


def test_the_alert_on_a_training_mask_has_the_bounds_that_the_run_has() -> None:
    rules = yaml.safe_load((REPO / "deploy/prometheus/rules/alerts.yml").read_text())
    (alert,) = (
        rule for group in rules["groups"] for rule in group["rules"] if rule["alert"] == "CgnJobMuMask"
    )
    numbers = re.findall(r"(?<![\w.])\d+\.\d+", alert["expr"])
    assert list(map(float, numbers)) == [GROSS_MEAN_BELOW, GROSS_MEAN_ABOVE]
