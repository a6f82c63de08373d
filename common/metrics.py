"""Every metric of every process, defined once.

A process makes the classes of its own role only, so that it never exports another role's zeros (a
generator that says `cgn_workers 0` would raise the dead-worker alert).
"""

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
    start_http_server,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # no *_created twin of every counter

# 1 ms to 60 s.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class RpcMetrics:
    """Metrics of every gRPC server."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        labels = ("method", "code")
        self.requests = Counter("cgn_requests_total", "RPCs that have ended.", labels, registry=registry)
        self.request_seconds = Histogram(
            "cgn_request_seconds",
            "Seconds from an RPC's arrival to its end.",
            labels,
            buckets=SECONDS,
            registry=registry,
        )


class GeneratorMetrics:
    """Metrics of the generator service."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        version = ("model", "version")
        self.images = Counter(
            "cgn_images_total", "Images sent, all outputs counted.", version, registry=registry
        )
        self.rows = Counter(
            "cgn_rows_total",
            "Distinct mechanism rows used by requests; source is computed, memory or redis.",
            (*version, "mechanism", "source"),
            registry=registry,
        )
        self.batch_rows = Histogram(
            "cgn_batch_rows",
            "Rows in a batch, padding not counted.",
            ("mechanism",),
            buckets=ROWS,
            registry=registry,
        )
        self.batches = Counter(
            "cgn_batches_total",
            "Forward passes; closed_by is full (largest size) or drained (nobody else waited).",
            ("mechanism", "closed_by"),
            registry=registry,
        )
        self.queue_wait_seconds = Histogram(
            "cgn_queue_wait_seconds",
            "Seconds a row waited for its batch.",
            ("mechanism",),
            buckets=SECONDS,
            registry=registry,
        )
        self.forward_seconds = Histogram(
            "cgn_forward_seconds",
            "Seconds of a forward pass.",
            ("mechanism",),
            buckets=SECONDS,
            registry=registry,
        )
        self.row_cache_hits = Counter(
            "cgn_row_cache_hits_total",
            "Rows found; tier is memory or redis.",
            ("mechanism", "tier"),
            registry=registry,
        )
        self.row_cache_misses = Counter(
            "cgn_row_cache_misses_total",
            "Rows looked for and not found; tier is memory or redis.",
            ("mechanism", "tier"),
            registry=registry,
        )
        self.row_cache_bytes = Gauge(
            "cgn_row_cache_bytes", "Bytes of rows held in process.", registry=registry
        )
        self.row_cache_errors = Counter(
            "cgn_row_cache_errors_total",
            "Cache operations that failed or were given up.",
            ("tier",),
            registry=registry,
        )
        by_class = (*version, "class")
        self.mu_mask = Summary(
            "cgn_mu_mask", "Mean mask value of served masks, 0 to 1.", by_class, registry=registry
        )
        self.mu_mask_lowest = Gauge(
            "cgn_mu_mask_lowest", "Lowest sound mean mask value, of the card.", by_class, registry=registry
        )
        self.mu_mask_highest = Gauge(
            "cgn_mu_mask_highest", "Highest sound mean mask value, of the card.", by_class, registry=registry
        )
        self.mask_border = Summary(
            "cgn_mask_border",
            "Border mass of served masks: share of a mask's sum in a frame of 3 pixels at 32, 0 to 1.",
            by_class,
            registry=registry,
        )
        self.mask_border_highest = Gauge(
            "cgn_mask_border_highest", "Highest sound border mass, of the card.", by_class, registry=registry
        )
        self.mask_soft = Summary(
            "cgn_mask_soft",
            "Soft-pixel share of served masks: share of pixels between 0.1 and 0.9, 0 to 1.",
            by_class,
            registry=registry,
        )
        self.mask_soft_highest = Gauge(
            "cgn_mask_soft_highest",
            "Highest sound soft-pixel share, of the card.",
            by_class,
            registry=registry,
        )
        self.mechanism_resident_bytes = Gauge(
            "cgn_mechanism_resident_bytes",
            "Bytes of a mechanism's weights on the device.",
            (*version, "mechanism"),
            registry=registry,
        )
        self.model_info = Gauge(
            "cgn_model_info", "1 for every served model version.", (*version, "digest"), registry=registry
        )


class TrainerMetrics:
    """Metrics of the trainer service. The per-job ones are dropped when the job ends."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        job = ("job_id", "kind")
        self.jobs = Gauge("cgn_jobs", "Jobs on record.", ("kind", "state"), registry=registry)
        self.oldest_pending_job_seconds = Gauge(
            "cgn_oldest_pending_job_seconds",
            "Age of the job that has waited longest; 0 if none waits.",
            registry=registry,
        )
        self.workers = Gauge("cgn_workers", "Workers whose heartbeat is fresh.", registry=registry)
        self.jobs_lease_expired = Gauge(
            "cgn_jobs_lease_expired",
            "Jobs whose worker has stopped renewing its lease, not yet queued again.",
            registry=registry,
        )
        self.job_step_seconds = Gauge(
            "cgn_job_step_seconds", "Seconds per step of a running job.", job, registry=registry
        )
        self.job_loss = Gauge(
            "cgn_job_loss", "Last value of a running job's loss.", (*job, "name"), registry=registry
        )
        self.job_mu_mask = Gauge(
            "cgn_job_mu_mask",
            "Mean mask value of a running job's last batch, 0 to 1.",
            job,
            registry=registry,
        )


class WorkerMetrics:
    """Metrics of a worker."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.busy = Gauge("cgn_worker_busy", "1 while the worker runs a job, else 0.", registry=registry)
        self.jobs = Counter(
            "cgn_worker_jobs_total", "Attempts that have ended.", ("kind", "outcome"), registry=registry
        )


def serve_metrics(host: str, port: int, registry: CollectorRegistry = REGISTRY) -> None:
    """Serves /metrics over HTTP in a thread of its own. Raises OSError if the port cannot be bound."""
    start_http_server(port, host, registry)
