"""Settings of the processes, read from the environment. docs/settings.md is generated from this file.

Every variable has a default that works on one machine. A bad value raises SettingsError.
"""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from common.variables import (
    Environ,
    SettingsError,
    choice,
    directory,
    file,
    flag,
    integer,
    optional_redis_url,
    port,
    redis_url,
    text,
)

__all__ = [
    "REPO",
    "EdgeSettings",
    "GeneratorSettings",
    "Paths",
    "SettingsError",
    "TrainerSettings",
    "WorkerSettings",
    "device_from_env",
]

REPO = Path(__file__).resolve().parents[1]

MODELS_DIR = directory(
    "CGN_MODELS_DIR", "Directory of published models, `<name>/<version>/`.", REPO / "models"
)
RUNS_DIR = directory("CGN_RUNS_DIR", "Directory of runs: one subdirectory per job.", REPO / "var" / "runs")
DEVICE = choice(
    "CGN_DEVICE",
    "Device of the networks; `auto` is the first GPU, or the CPU without one. "
    "A worker sets it for each job that it runs.",
    r"auto|cpu|cuda(:\d+)?",
    "auto, cpu, cuda or cuda:<index>",
    "auto",
)
JOBS_URL = redis_url(
    "CGN_JOBS_URL", "Redis of the job records and the Celery broker.", "redis://127.0.0.1:6379/0"
)

HOST = text(
    "CGN_HOST",
    "Address to listen on. An address open to other machines needs TLS and callers, or CGN_INSECURE=1.",
    "IP address or host name",
    "127.0.0.1",
)
TLS_CERT = file("CGN_TLS_CERT", "PEM file: the server's certificate, then the certificates that signed it.")
TLS_KEY = file("CGN_TLS_KEY", "PEM file: the private key of CGN_TLS_CERT, without a password.")
TLS_CLIENT_CA = file(
    "CGN_TLS_CLIENT_CA",
    "PEM file: certificates that clients' certificates must be signed by. If set, clients must present one.",
)
TOKENS_FILE = file("CGN_TOKENS_FILE", "TOML file of callers: their roles, limits and hashes of their tokens.")
INSECURE = flag(
    "CGN_INSECURE",
    "1: a server may listen on other addresses without TLS or without identifying callers. "
    "In a client, 1: a token may be sent to another machine without TLS.",
)
MAX_IMAGES = integer(
    "CGN_MAX_IMAGES", "Images that one request may ask for, each output counted; 0: no limit.", 0, 0, 1 << 31
)
RPCS_PER_SECOND = integer(
    "CGN_RPCS_PER_SECOND", "RPCs per second of one caller; 0: no limit.", 0, 0, 1_000_000
)
IMAGES_PER_SECOND = integer(
    "CGN_IMAGES_PER_SECOND", "Images per second of one caller; 0: no limit.", 0, 0, 1 << 31
)
TRACES = flag(
    "CGN_TRACES",
    "1: export OpenTelemetry traces; OTEL_EXPORTER_OTLP_ENDPOINT sets the destination. "
    "Needs requirements-traces.txt.",
)

GENERATOR_PORT = port("CGN_GENERATOR_PORT", "gRPC port of the generator.", 50051)
GENERATOR_METRICS_PORT = port("CGN_GENERATOR_METRICS_PORT", "HTTP port of the generator's /metrics.", 9101)
PRECISION = choice(
    "CGN_PRECISION",
    "Precision of forward passes; bfloat16 applies only to models that support it.",
    "float32|bfloat16",
    "float32 or bfloat16",
    "float32",
)
THREADS = integer("CGN_THREADS", "CPU threads of all forward passes together; 0: one per core.", 0, 0, 1024)
CACHE_URL = optional_redis_url(
    "CGN_CACHE_URL",
    "Redis of the row cache's second tier, shared by generators; none: no second tier.",
    "redis://127.0.0.1:6380/0",
)
ROW_CACHE_MB = integer(
    "CGN_ROW_CACHE_MB", "MiB of the row cache in the generator's memory; 0: no such cache.", 256, 0, 1 << 20
)
ROW_TTL_SECONDS = integer(
    "CGN_ROW_TTL_SECONDS", "Seconds until a row in Redis expires.", 86_400, 1, 10 * 365 * 86_400
)
MODEL_MEMORY_MB = integer(
    "CGN_MODEL_MEMORY_MB",
    "MiB that loaded models may take; 0: half of the memory of the device or container.",
    0,
    0,
    1 << 30,
)
KEEP_VERSIONS = integer(
    "CGN_KEEP_VERSIONS",
    "Newest versions of each model that stay on disk, besides those that an alias names; 0: all.",
    0,
    0,
    1_000_000,
)
MEGAPIXELS_IN_FLIGHT = integer(
    "CGN_MEGAPIXELS_IN_FLIGHT",
    "Megapixels (2^20) of rows of one model in unanswered requests; above it requests are refused.",
    64,
    1,
    1 << 20,
)
GRACE_SECONDS = integer(
    "CGN_GRACE_SECONDS", "Seconds to finish requests after SIGTERM, before the generator ends.", 20, 2, 3600
)

TRAINER_PORT = port("CGN_TRAINER_PORT", "gRPC port of the trainer.", 50052)
TRAINER_METRICS_PORT = port("CGN_TRAINER_METRICS_PORT", "HTTP port of the trainer's /metrics.", 9102)
MOST_QUEUED_JOBS = integer(
    "CGN_MOST_QUEUED_JOBS", "Queued jobs of one caller; 0: no limit.", 1000, 0, 1_000_000
)

WORKER_METRICS_PORT = port("CGN_WORKER_METRICS_PORT", "HTTP port of the worker's /metrics.", 9103)
WORKER_THREADS = integer("CGN_WORKER_THREADS", "CPU threads that the worker offers to jobs.", 2, 1, 256)
WORKER_GPUS = integer("CGN_WORKER_GPUS", "GPUs that the worker offers to jobs.", 0, 0, 8)
WORKER_MEMORY_MB = integer(
    "CGN_WORKER_MEMORY_MB",
    "MiB that a job may use before it is stopped; 0: nine tenths of the machine's or container's memory.",
    0,
    0,
    1 << 30,
)


def device_from_env(env: Environ = os.environ) -> str:
    """Returns CGN_DEVICE: auto, cpu, cuda or cuda:<index>. Raises SettingsError."""
    return DEVICE.read(env)


@dataclass(frozen=True)
class Paths:
    """Directories of models and runs."""

    models_dir: Path
    runs_dir: Path

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(models_dir=MODELS_DIR.read(env), runs_dir=RUNS_DIR.read(env))


@dataclass(frozen=True)
class EdgeSettings:
    """Who may reach a gRPC server, and the limits of each caller. docs/security.md shows how to use them.

    Attributes:
        host: address to listen on.
        tls_cert, tls_key, tls_client_ca: PEM files; None: no TLS, or no client certificates.
        tokens_file: the callers; None: tokens are not asked for.
        insecure: whether to serve other machines without TLS or without identifying callers.
        max_images: images of one request; 0: no limit.
        rpcs_per_second, images_per_second: of one caller; 0: no limit.
        traces: whether to export OpenTelemetry traces.
    """

    host: str
    tls_cert: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    tokens_file: Path | None
    insecure: bool
    max_images: int
    rpcs_per_second: int
    images_per_second: int
    traces: bool

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        settings = cls(
            host=HOST.read(env),
            tls_cert=TLS_CERT.read(env),
            tls_key=TLS_KEY.read(env),
            tls_client_ca=TLS_CLIENT_CA.read(env),
            tokens_file=TOKENS_FILE.read(env),
            insecure=INSECURE.read(env),
            max_images=MAX_IMAGES.read(env),
            rpcs_per_second=RPCS_PER_SECOND.read(env),
            images_per_second=IMAGES_PER_SECOND.read(env),
            traces=TRACES.read(env),
        )
        settings._check_together()
        return settings

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def missing(self) -> tuple[str, ...]:
        """The protection that other machines do not meet: "tls", "callers". Empty at a local address."""
        if self.local:
            return ()
        anonymous = not self.tokens_file and not self.tls_client_ca
        return (() if self.tls_cert else ("tls",)) + (("callers",) if anonymous else ())

    def _check_together(self) -> None:
        if bool(self.tls_cert) != bool(self.tls_key):
            present, absent = ("CERT", "KEY") if self.tls_cert else ("KEY", "CERT")
            raise SettingsError(f"CGN_TLS_{present} is set without CGN_TLS_{absent}: set both, or neither")
        if self.tls_client_ca and not self.tls_cert:
            raise SettingsError(
                "CGN_TLS_CLIENT_CA is set without CGN_TLS_CERT: clients present certificates over TLS only; "
                "set CGN_TLS_CERT and CGN_TLS_KEY too"
            )
        if self.missing and not self.insecure:
            cures = {
                "tls": "CGN_TLS_CERT and CGN_TLS_KEY (TLS)",
                "callers": "CGN_TOKENS_FILE or CGN_TLS_CLIENT_CA (who may call)",
            }
            raise SettingsError(
                f"CGN_HOST={self.host}: other machines could reach this server: set "
                f"{' and '.join(cures[part] for part in self.missing)}, "
                "or CGN_INSECURE=1 to do without; docs/security.md shows how"
            )


@dataclass(frozen=True)
class GeneratorSettings:
    """Settings of the generator service.

    Attributes:
        device: auto, cpu, cuda or cuda:<index>.
        precision: float32 or bfloat16.
        threads: of a forward pass; 0: one per core.
        cache_url: Redis of the row cache's second tier; None: no second tier.
        row_cache_bytes: of the row cache in memory; 0: none.
        row_ttl_seconds: until a row in Redis expires.
        model_memory_bytes: of loaded models; 0: half of the device's memory.
        keep_versions: newest versions of each model that stay on disk, besides those with an alias; 0: all.
        pixels_in_flight: of one model's rows in unanswered requests.
        grace_seconds: to finish requests after SIGTERM.
    """

    paths: Paths
    edge: EdgeSettings
    port: int
    metrics_port: int
    device: str
    precision: str
    threads: int
    cache_url: str | None
    row_cache_bytes: int
    row_ttl_seconds: int
    model_memory_bytes: int
    keep_versions: int
    pixels_in_flight: int
    grace_seconds: int

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(
            paths=Paths.from_env(env),
            edge=EdgeSettings.from_env(env),
            port=GENERATOR_PORT.read(env),
            metrics_port=GENERATOR_METRICS_PORT.read(env),
            device=DEVICE.read(env),
            precision=PRECISION.read(env),
            threads=THREADS.read(env),
            cache_url=CACHE_URL.read(env),
            row_cache_bytes=ROW_CACHE_MB.read(env) << 20,
            row_ttl_seconds=ROW_TTL_SECONDS.read(env),
            model_memory_bytes=MODEL_MEMORY_MB.read(env) << 20,
            keep_versions=KEEP_VERSIONS.read(env),
            pixels_in_flight=MEGAPIXELS_IN_FLIGHT.read(env) << 20,
            grace_seconds=GRACE_SECONDS.read(env),
        )


@dataclass(frozen=True)
class TrainerSettings:
    """Settings of the trainer service.

    Attributes:
        jobs_url: Redis of the job records and the Celery broker.
        most_queued: queued jobs of one caller; 0: no limit.
    """

    paths: Paths
    edge: EdgeSettings
    port: int
    metrics_port: int
    jobs_url: str
    most_queued: int

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(
            paths=Paths.from_env(env),
            edge=EdgeSettings.from_env(env),
            port=TRAINER_PORT.read(env),
            metrics_port=TRAINER_METRICS_PORT.read(env),
            jobs_url=JOBS_URL.read(env),
            most_queued=MOST_QUEUED_JOBS.read(env),
        )


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of a worker.

    Attributes:
        host: address that the metrics port listens on.
        jobs_url: Redis of the job records and the Celery broker.
        threads, gpus: CPU threads and GPUs offered to jobs.
        memory_mb: MiB that a job may use; 0: nine tenths of the machine's or container's memory.
    """

    paths: Paths
    host: str
    metrics_port: int
    jobs_url: str
    threads: int
    gpus: int
    memory_mb: int

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(
            paths=Paths.from_env(env),
            host=HOST.read(env),
            metrics_port=WORKER_METRICS_PORT.read(env),
            jobs_url=JOBS_URL.read(env),
            threads=WORKER_THREADS.read(env),
            gpus=WORKER_GPUS.read(env),
            memory_mb=WORKER_MEMORY_MB.read(env),
        )
