"""The metrics of all processes.

A process instantiates only the classes of its own role. Otherwise it would export zeros of other roles: a
generator with `cgn_workers 0` would trigger the alert for dead workers.
"""

from typing import Any

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

disable_created_metrics()  # type: ignore[no-untyped-call]  # no *_created metric beside each counter

# 1 ms to 60 s.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Observations(Summary):
    """A summary that can add many observations at once."""

    def observe_sum(self, count: int, total: float) -> None:
        """Adds `count` observations whose sum is `total`."""
        self._raise_if_not_observable()  # type: ignore[no-untyped-call]
        self._count.inc(count)
        self._sum.inc(total)


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
        self.errors = Counter(
            "cgn_errors_total",
            "RPCs that have ended with an error, by ErrorInfo reason.",
            ("method", "reason"),
            registry=registry,
        )
        self.insecure = Gauge(
            "cgn_insecure",
            "1 if other machines can reach the server without a protection: tls or callers.",
            ("missing",),
            registry=registry,
        )
        self.tokens_file_fault = Gauge(
            "cgn_tokens_file_fault",
            "1 while the tokens file is invalid and the previous one is used.",
            registry=registry,
        )


class GeneratorMetrics:
    """Metrics of the generator service."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        version = ("model", "version")
        self.images = Counter(
            "cgn_images_total", "Images sent; each output counts.", version, registry=registry
        )
        self.rows = Counter(
            "cgn_rows_total",
            "Distinct mechanism rows used by requests; source is computed, shared (computed for another "
            "request), memory or redis.",
            (*version, "mechanism", "source"),
            registry=registry,
        )
        self.pixels_in_flight = Gauge(
            "cgn_pixels_in_flight",
            "Pixels of the rows of unanswered requests; absent if 0.",
            version,
            registry=registry,
        )
        self.refusals = Counter(
            "cgn_refusals_total",
            "Requests refused for lack of capacity; reason is overloaded, deadline or out_of_memory.",
            (*version, "reason"),
            registry=registry,
        )
        self.batch_rows = Histogram(
            "cgn_batch_rows",
            "Rows in a batch, without padding.",
            ("mechanism",),
            buckets=ROWS,
            registry=registry,
        )
        self.batches = Counter(
            "cgn_batches_total",
            "Forward passes; closed_by is full (largest batch) or drained (no other row waited).",
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
        self.engine_deaths = Counter(
            "cgn_engine_deaths_total",
            "Times that the engine's thread died and was replaced.",
            registry=registry,
        )
        self.engine_pass_seconds = Gauge(
            "cgn_engine_pass_seconds",
            "Seconds since the current forward pass started; 0 if none runs.",
            registry=registry,
        )
        self.row_cache_hits = Counter(
            "cgn_row_cache_hits_total",
            "Rows found in a cache tier: memory or redis.",
            ("mechanism", "tier"),
            registry=registry,
        )
        self.row_cache_misses = Counter(
            "cgn_row_cache_misses_total",
            "Rows not found in a cache tier: memory or redis.",
            ("mechanism", "tier"),
            registry=registry,
        )
        self.row_cache_bytes = Gauge(
            "cgn_row_cache_bytes", "Bytes of rows cached in the process's memory.", registry=registry
        )
        self.row_cache_errors = Counter(
            "cgn_row_cache_errors_total",
            "Cache operations that failed or timed out.",
            ("tier",),
            registry=registry,
        )
        self.row_cache_dropped = Counter(
            "cgn_row_cache_dropped_total",
            "Rows not written to Redis because its write queue was full.",
            registry=registry,
        )
        self.row_cache_up = Gauge(
            "cgn_row_cache_up", "1 while the row cache uses Redis, else 0.", registry=registry
        )
        by_class = (*version, "class")
        self.mu_mask = Observations(
            "cgn_mu_mask", "Mean value of served masks, 0 to 1.", by_class, registry=registry
        )
        self.mu_mask_lowest = Gauge(
            "cgn_mu_mask_lowest",
            "Lowest mean mask value that the model's card allows.",
            by_class,
            registry=registry,
        )
        self.mu_mask_highest = Gauge(
            "cgn_mu_mask_highest",
            "Highest mean mask value that the model's card allows.",
            by_class,
            registry=registry,
        )
        self.mask_border = Observations(
            "cgn_mask_border",
            "Border mass of served masks: share of a mask's sum in its frame (3 of 32 pixels), 0 to 1.",
            by_class,
            registry=registry,
        )
        self.mask_border_highest = Gauge(
            "cgn_mask_border_highest",
            "Highest border mass that the model's card allows.",
            by_class,
            registry=registry,
        )
        self.mask_soft = Observations(
            "cgn_mask_soft",
            "Soft pixels of served masks: share of pixels between 0.1 and 0.9, 0 to 1.",
            by_class,
            registry=registry,
        )
        self.mask_soft_highest = Gauge(
            "cgn_mask_soft_highest",
            "Highest share of soft pixels that the model's card allows.",
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
            "cgn_model_info", "1 for every loaded model version.", (*version, "digest"), registry=registry
        )
        self.model_memory_bytes = Gauge(
            "cgn_model_memory_bytes", "Bytes of loaded models.", registry=registry
        )
        self.model_memory_limit_bytes = Gauge(
            "cgn_model_memory_limit_bytes", "Bytes that loaded models may take.", registry=registry
        )
        self.model_loads = Counter(
            "cgn_model_loads_total",
            "Loads of model versions; outcome is loaded, broken, or refused (not enough memory).",
            (*version, "outcome"),
            registry=registry,
        )
        self.model_unloads = Counter(
            "cgn_model_unloads_total",
            "Model versions unloaded; reason is memory, call (UnloadModel), replaced or gone (deleted).",
            (*version, "reason"),
            registry=registry,
        )


class TrainerMetrics:
    """Metrics of the trainer service. Metrics of a job are removed when the job ends.

    Totals over all jobs are in services.trainer.totals_collector.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        job = ("job_id", "kind")
        self.jobs = Gauge(
            "cgn_jobs", "Jobs on record, by kind and state.", ("kind", "state"), registry=registry
        )
        self.oldest_pending_job_seconds = Gauge(
            "cgn_oldest_pending_job_seconds",
            "Seconds that the oldest pending job has waited; 0 if none is pending.",
            registry=registry,
        )
        self.workers = Gauge("cgn_workers", "Workers with a recent heartbeat.", registry=registry)
        self.jobs_lease_expired = Gauge(
            "cgn_jobs_lease_expired",
            "Running jobs whose lease has expired and that are not yet queued again.",
            registry=registry,
        )
        self.job_step_seconds = Gauge(
            "cgn_job_step_seconds", "Seconds per step of a running job.", job, registry=registry
        )
        self.job_loss = Gauge(
            "cgn_job_loss", "Last value of a loss of a running job.", (*job, "name"), registry=registry
        )
        self.job_mu_mask = Gauge(
            "cgn_job_mu_mask",
            "Mean mask value of a running job's last batch, 0 to 1.",
            job,
            registry=registry,
        )
        self.job_mu_mask_lowest = Gauge(
            "cgn_job_mu_mask_lowest",
            "Mean mask value below which L_mask of a running job is positive, 0 to 1.",
            job,
            registry=registry,
        )
        self.job_mu_mask_highest = Gauge(
            "cgn_job_mu_mask_highest",
            "Mean mask value above which L_mask of a running job is positive, 0 to 1.",
            job,
            registry=registry,
        )
        self.job_images_per_second = Gauge(
            "cgn_job_images_per_second",
            "Images per second that a running job trains on or generates.",
            job,
            registry=registry,
        )
        self.job_eta_seconds = Gauge(
            "cgn_job_eta_seconds", "Estimated seconds until a running job ends.", job, registry=registry
        )
        self.job_idle_seconds = Gauge(
            "cgn_job_idle_seconds",
            "Seconds since the last step of a running job, or since its attempt started.",
            job,
            registry=registry,
        )


class WorkerMetrics:
    """Metrics of a worker."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.busy = Gauge("cgn_worker_busy", "1 while the worker runs a job, else 0.", registry=registry)
        self.jobs = Counter(
            "cgn_worker_jobs_total",
            "Attempts that have ended, by job kind and outcome.",
            ("kind", "outcome"),
            registry=registry,
        )


def serve_metrics(host: str, port: int, registry: CollectorRegistry = REGISTRY) -> None:
    """Serves /metrics over HTTP in its own thread. Raises OSError if the port cannot be bound."""
    server, _ = start_http_server(port, host, registry)
    metrics_app = server.get_app()
    assert metrics_app

    def app(environ: Any, start_response: Any) -> Any:
        # Without this, the library answers 200 on every path, and a probe of /health would always succeed.
        if environ["PATH_INFO"] == "/metrics":
            return metrics_app(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"metrics are at /metrics; check health over gRPC: python -m services.probe HOST:PORT\n"]

    server.set_app(app)
