"""The totals over all jobs, as Prometheus reads them."""

import re

import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cgn.metrics.collapse import GROSS_HIGHEST_MEAN_MARGIN, GROSS_LOWEST_MEAN_FACTOR
from common.settings import REPO
from services.trainer.totals_collector import TotalsCollector
from trainer.jobs.totals import RUN_SECONDS, WAIT_SECONDS, Totals
from trainer.kinds import KINDS


def page(totals: Totals | None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Returns the exported samples by name and labels."""
    collector, registry = TotalsCollector(), CollectorRegistry()
    registry.register(collector)
    collector.totals = totals
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_counters_and_histograms_have_the_counted_values() -> None:
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
    samples = page(Totals.from_hash(fields))
    kind = ("kind", "train_cgn")
    assert samples["cgn_job_attempts_total", (kind,)] == 3
    assert samples["cgn_job_leases_lost_total", (kind,)] == 1
    whys = {
        why: samples["cgn_job_requeues_total", (kind, ("why", why))]
        for why in ("lost", "killed", "handed_back")
    }
    assert whys == {"lost": 1, "killed": 0, "handed_back": 1}
    waits = [samples["cgn_job_wait_seconds_bucket", (kind, ("le", f"{bound:.1f}"))] for bound in WAIT_SECONDS]
    assert waits == [2, 2, 3, *[3] * (len(WAIT_SECONDS) - 3)]
    assert samples["cgn_job_wait_seconds_bucket", (kind, ("le", "+Inf"))] == 3
    assert samples["cgn_job_wait_seconds_count", (kind,)] == 3
    assert samples["cgn_job_wait_seconds_sum", (kind,)] == 12.5
    state = ("state", "SUCCEEDED")
    runs = [
        samples["cgn_job_run_seconds_bucket", (kind, ("le", f"{bound:.1f}"), state)] for bound in RUN_SECONDS
    ]
    assert runs == [0] * len(RUN_SECONDS)
    assert samples["cgn_job_run_seconds_bucket", (kind, ("le", "+Inf"), state)] == 1
    assert samples["cgn_job_run_seconds_sum", (kind, state)] == 300000.25
    assert not [labels for _, labels in samples if ("state", "ASLEEP") in labels]


def test_kinds_without_events_are_0_and_unknown_totals_are_not_exported() -> None:
    samples = page(Totals())
    for kind in KINDS:
        assert samples["cgn_job_leases_lost_total", (("kind", kind),)] == 0
        assert samples["cgn_job_wait_seconds_count", (("kind", kind),)] == 0
    assert page(None) == {}


def test_the_alert_on_masks_has_the_bounds_of_the_run() -> None:
    rules = yaml.safe_load((REPO / "deploy/prometheus/rules/alerts.yml").read_text())
    (alert,) = (
        rule for group in rules["groups"] for rule in group["rules"] if rule["alert"] == "CgnJobMuMask"
    )
    numbers = re.findall(r"(?<![\w.])\d+\.\d+", alert["expr"])
    assert list(map(float, numbers)) == [GROSS_LOWEST_MEAN_FACTOR, GROSS_HIGHEST_MEAN_MARGIN]
