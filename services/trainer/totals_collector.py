"""The totals that Redis keeps over all jobs, as Prometheus counters and histograms."""

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from trainer.jobs.states import JobState
from trainer.jobs.totals import RUN_SECONDS, WAIT_SECONDS, Durations, Totals
from trainer.kinds import KINDS

_WHY = ("lost", "killed", "handed_back")


class TotalsCollector(Collector):
    """Exports the totals that were set last; no metric while they are unknown (None)."""

    def __init__(self) -> None:
        self.totals: Totals | None = None

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics. A kind without events has the value 0, so that a rate sees its first event."""
        totals = self.totals
        if totals is None:
            return
        attempts = CounterMetricFamily("cgn_job_attempts", "Attempts that have begun.", labels=["kind"])
        lost = CounterMetricFamily("cgn_job_leases_lost", "Leases that have run out.", labels=["kind"])
        requeued = CounterMetricFamily(
            "cgn_job_requeues",
            "Jobs queued again: their worker was lost, their run killed, or they were handed back.",
            labels=["kind", "why"],
        )
        for kind in KINDS:
            attempts.add_metric([kind], totals.attempts.get(kind, 0))
            lost.add_metric([kind], totals.lost.get(kind, 0))
            for why in _WHY:
                requeued.add_metric([kind, why], totals.requeued.get((kind, why), 0))
        yield from (attempts, lost, requeued)
        waited: dict[tuple[str, ...], Durations]
        waited = {(kind,): durations for kind, durations in totals.waited.items()}
        nothing: dict[tuple[str, ...], Durations]
        nothing = {(kind,): Durations([0] * (len(WAIT_SECONDS) + 1)) for kind in KINDS}
        yield _histogram(
            "cgn_job_wait_seconds",
            "Seconds in the queue before an attempt.",
            ["kind"],
            nothing | waited,
            WAIT_SECONDS,
        )
        yield _histogram(
            "cgn_job_run_seconds",
            "Seconds that a job ran, all attempts together, by the state it ended in.",
            ["kind", "state"],
            {(kind, state): d for (kind, state), d in totals.ran.items() if state in JobState.__members__},
            RUN_SECONDS,
        )


def _histogram(
    name: str,
    help_text: str,
    labels: list[str],
    series: Mapping[tuple[str, ...], Durations],
    bounds: tuple[int, ...],
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, help_text, labels=labels)
    for values, durations in series.items():
        buckets, below = [], 0
        for bound, count in zip([*map(float, bounds), float("inf")], durations.counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(below)))
        family.add_metric(values, buckets, durations.seconds)
    return family
