"""Metrics of the jobs. They come from Redis, so they are right after a restart too."""

import math
from collections.abc import Mapping
from typing import Any

from common.metrics import TrainerMetrics
from services.trainer.totals_collector import TotalsCollector
from trainer.jobs.queue import Overview
from trainer.jobs.states import JobState
from trainer.kinds import KINDS

Labels = tuple[str, ...]


class Exporter:
    """Sets the trainer's gauges. The series of a job exist only while a worker holds it."""

    def __init__(self, metrics: TrainerMetrics, totals: TotalsCollector) -> None:
        """totals: the caller registers it."""
        self._metrics = metrics
        self._totals = totals
        self._shown: dict[int, set[Labels]] = {}

    def show(self, overview: Overview, workers: int) -> None:
        """Sets all gauges. workers: number of live workers."""
        metrics = self._metrics
        none: dict[Labels, float] = {(kind, state.value): 0 for kind in KINDS for state in JobState}
        counts: dict[Labels, float] = {(kind, s.value): n for (kind, s), n in overview.counts.items()}
        self._set(metrics.jobs, none | counts)
        metrics.oldest_pending_job_seconds.set(overview.oldest_pending_seconds)
        metrics.jobs_lease_expired.set(overview.leases_expired)
        metrics.workers.set(workers)
        self._totals.totals = overview.totals
        held = [((job.job_id, job.kind), job) for job in overview.held]
        self._set(metrics.job_idle_seconds, {key: job.idle_seconds for key, job in held})
        for bound, gauge in (
            ("mask_lowest", metrics.job_mu_mask_lowest),
            ("mask_highest", metrics.job_mu_mask_highest),
        ):
            self._set(gauge, {key: float(job.config[bound]) for key, job in held if bound in job.config})
        going = [(job.job_id, job.kind, job.progress) for job in overview.held if job.progress]
        self._set(metrics.job_step_seconds, {(job, kind): p.step_seconds for job, kind, p in going})
        self._set(metrics.job_eta_seconds, {(job, kind): p.eta_seconds for job, kind, p in going})
        self._set(
            metrics.job_images_per_second,
            {(job, kind): p.images_per_second for job, kind, p in going if p.images_per_second},
        )
        self._set(
            metrics.job_loss,
            {(job, kind, name): value for job, kind, p in going for name, value in p.values.items()},
        )
        self._set(
            metrics.job_mu_mask,
            {(job, kind): p.mu_mask for job, kind, p in going if p.mu_mask is not None},
        )

    def show_unknown(self) -> None:
        """Removes the series of jobs, and sets the other gauges to NaN: Redis cannot be reached."""
        metrics = self._metrics
        self._totals.totals = None
        for gauge in (
            metrics.jobs,
            metrics.job_step_seconds,
            metrics.job_loss,
            metrics.job_mu_mask,
            metrics.job_mu_mask_lowest,
            metrics.job_mu_mask_highest,
            metrics.job_images_per_second,
            metrics.job_eta_seconds,
            metrics.job_idle_seconds,
        ):
            self._set(gauge, {})
        for gauge in (metrics.oldest_pending_job_seconds, metrics.jobs_lease_expired, metrics.workers):
            gauge.set(math.nan)

    def _set(self, gauge: Any, values: Mapping[Labels, float]) -> None:
        """Sets a gauge to these series, and removes all others."""
        for labels in self._shown.get(id(gauge), set()) - values.keys():
            gauge.remove(*labels)
        for labels, value in values.items():
            gauge.labels(*labels).set(value)
        self._shown[id(gauge)] = set(values)
