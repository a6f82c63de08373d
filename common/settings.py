"""Settings of the processes, read from the environment.

Every variable has a default that works on one machine. A bad value raises SettingsError, whose one
line names the variable, what it may be and how to cure it.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

REPO = Path(__file__).resolve().parents[1]

Environ = Mapping[str, str]


class SettingsError(ValueError):
    """An environment variable has a value that cannot be used; the message is one line."""


def _text(env: Environ, name: str, default: str) -> str:
    """The value of a variable; unset and empty both mean the default, as in compose's ${VAR:-default}."""
    return env.get(name, "").strip() or default


def _integer(env: Environ, name: str, default: int, lowest: int, highest: int) -> int:
    text = _text(env, name, str(default))
    try:
        value = int(text)
    except ValueError:
        value = lowest - 1
    if not lowest <= value <= highest:
        raise SettingsError(
            f"{name}={text}: must be an integer, {lowest} to {highest}; unset it for {default}"
        )
    return value


def _port(env: Environ, name: str, default: int) -> int:
    return _integer(env, name, default, 1, 65535)


def _directory(env: Environ, name: str, default: Path) -> Path:
    path = Path(_text(env, name, str(default))).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise SettingsError(f"{name}={path}: must be a directory; set it to one or remove the file there")
    return path


def _redis_url(env: Environ, name: str, default: str, *, optional: bool = False) -> str | None:
    text = _text(env, name, default)
    if optional and text == "none":
        return None
    parts = urlsplit(text)
    if parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path):
        also = ' or "none"' if optional else ""
        raise SettingsError(f"{name}={text}: must be redis://host:port/db{also}; unset it for {default}")
    return text


def device_from_env(env: Environ = os.environ) -> str:
    """CGN_DEVICE: auto (default), cpu, cuda or cuda:<index>. Raises SettingsError."""
    text = _text(env, "CGN_DEVICE", "auto")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise SettingsError(f"CGN_DEVICE={text}: must be auto, cpu, cuda or cuda:<index>; unset it for auto")
    return text


def _precision(env: Environ) -> str:
    text = _text(env, "CGN_PRECISION", "float32")
    if text not in ("float32", "bfloat16"):
        raise SettingsError(f"CGN_PRECISION={text}: must be float32 or bfloat16; unset it for float32")
    return text


def _jobs_url(env: Environ) -> str:
    url = _redis_url(env, "CGN_JOBS_URL", "redis://127.0.0.1:6379/0")
    assert url is not None  # not optional
    return url


@dataclass(frozen=True)
class Paths:
    """Where models and runs are kept."""

    models_dir: Path  # CGN_MODELS_DIR: published models, <name>/<version>/
    runs_dir: Path  # CGN_RUNS_DIR: one directory per job

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(
            models_dir=_directory(env, "CGN_MODELS_DIR", REPO / "models"),
            runs_dir=_directory(env, "CGN_RUNS_DIR", REPO / "var" / "runs"),
        )


def _file(env: Environ, name: str) -> Path | None:
    text = _text(env, name, "")
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    try:
        path.open("rb").close()
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise SettingsError(f"{name}={path}: {why}: name a file that this process can read") from None
    return path


def _flag(env: Environ, name: str) -> bool:
    text = _text(env, name, "0")
    if text not in ("0", "1"):
        raise SettingsError(f"{name}={text}: must be 1 or 0; unset it for 0")
    return text == "1"


@dataclass(frozen=True)
class EdgeSettings:
    """Who may reach a gRPC server, how, and how much of it. docs/security.md shows their use."""

    host: str  # CGN_HOST: address to bind
    tls_cert: Path | None  # CGN_TLS_CERT: PEM, the server's certificate and what it is signed by
    tls_key: Path | None  # CGN_TLS_KEY: PEM, its private key
    tls_client_ca: Path | None  # CGN_TLS_CLIENT_CA: PEM, what clients' certificates must be signed by
    tokens_file: Path | None  # CGN_TOKENS_FILE: the callers, their roles and hashes of their tokens
    insecure: bool  # CGN_INSECURE: 1: listen to other machines even without TLS or without callers' proof
    max_images: int  # CGN_MAX_IMAGES: images of one request; 0: no limit
    rpcs_per_second: int  # CGN_RPCS_PER_SECOND: of one caller; 0: no limit
    images_per_second: int  # CGN_IMAGES_PER_SECOND: of one caller; 0: no limit
    traces: bool  # CGN_TRACES: 1: send OpenTelemetry traces to where OTEL_EXPORTER_OTLP_ENDPOINT says

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        settings = cls(
            host=_text(env, "CGN_HOST", "127.0.0.1"),
            tls_cert=_file(env, "CGN_TLS_CERT"),
            tls_key=_file(env, "CGN_TLS_KEY"),
            tls_client_ca=_file(env, "CGN_TLS_CLIENT_CA"),
            tokens_file=_file(env, "CGN_TOKENS_FILE"),
            insecure=_flag(env, "CGN_INSECURE"),
            max_images=_integer(env, "CGN_MAX_IMAGES", 0, 0, 1 << 31),
            rpcs_per_second=_integer(env, "CGN_RPCS_PER_SECOND", 0, 0, 1_000_000),
            images_per_second=_integer(env, "CGN_IMAGES_PER_SECOND", 0, 0, 1 << 31),
            traces=_flag(env, "CGN_TRACES"),
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
        """What other machines would not be asked for: "tls", "callers"; nothing at a local address."""
        if self.local:
            return ()
        nobody_asked = not self.tokens_file and not self.tls_client_ca
        return (() if self.tls_cert else ("tls",)) + (("callers",) if nobody_asked else ())

    def _check_together(self) -> None:
        if bool(self.tls_cert) != bool(self.tls_key):
            there, absent = ("CERT", "KEY") if self.tls_cert else ("KEY", "CERT")
            raise SettingsError(f"CGN_TLS_{there} is set without CGN_TLS_{absent}: set both, or neither")
        if self.tls_client_ca and not self.tls_cert:
            raise SettingsError(
                "CGN_TLS_CLIENT_CA is set without CGN_TLS_CERT: clients show certificates over TLS only; "
                "set CGN_TLS_CERT and CGN_TLS_KEY too"
            )
        if self.missing and not self.insecure:
            cures = {
                "tls": "CGN_TLS_CERT and CGN_TLS_KEY (TLS)",
                "callers": "CGN_TOKENS_FILE or CGN_TLS_CLIENT_CA (who may call)",
            }
            raise SettingsError(
                f"CGN_HOST={self.host}: other machines could reach this server: set "
                f"{' and '.join(cures[what] for what in self.missing)}, "
                "or CGN_INSECURE=1 to do without; docs/security.md shows how"
            )


@dataclass(frozen=True)
class GeneratorSettings:
    """Settings of the generator service."""

    paths: Paths
    edge: EdgeSettings
    port: int  # CGN_GENERATOR_PORT
    metrics_port: int  # CGN_GENERATOR_METRICS_PORT
    device: str  # CGN_DEVICE: auto, cpu, cuda or cuda:<index>
    precision: str  # CGN_PRECISION: float32, or bfloat16 of the models that are served in it
    threads: int  # CGN_THREADS: threads of a forward pass; 0: all cores
    cache_url: str | None  # CGN_CACHE_URL: Redis tier of the row cache; None: no such tier
    row_cache_bytes: int  # CGN_ROW_CACHE_MB: in-process tier of the row cache; 0: no such tier
    row_ttl_seconds: int  # CGN_ROW_TTL_SECONDS: life of a row in Redis
    model_memory_bytes: int  # CGN_MODEL_MEMORY_MB: of resident models; 0: half of the device's memory
    keep_versions: int  # CGN_KEEP_VERSIONS: newest of each model to keep, besides stable; 0: all
    pixels_in_flight: int  # CGN_MEGAPIXELS_IN_FLIGHT: of one model's rows; past it requests are refused
    grace_seconds: int  # CGN_GRACE_SECONDS: for work in flight when the process is told to stop

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(
            paths=Paths.from_env(env),
            edge=EdgeSettings.from_env(env),
            port=_port(env, "CGN_GENERATOR_PORT", 50051),
            metrics_port=_port(env, "CGN_GENERATOR_METRICS_PORT", 9101),
            device=device_from_env(env),
            precision=_precision(env),
            threads=_integer(env, "CGN_THREADS", 0, 0, 1024),
            cache_url=_redis_url(env, "CGN_CACHE_URL", "redis://127.0.0.1:6380/0", optional=True),
            row_cache_bytes=_integer(env, "CGN_ROW_CACHE_MB", 256, 0, 1 << 20) << 20,
            row_ttl_seconds=_integer(env, "CGN_ROW_TTL_SECONDS", 86_400, 1, 10 * 365 * 86_400),
            model_memory_bytes=_integer(env, "CGN_MODEL_MEMORY_MB", 0, 0, 1 << 30) << 20,
            keep_versions=_integer(env, "CGN_KEEP_VERSIONS", 0, 0, 1_000_000),
            pixels_in_flight=_integer(env, "CGN_MEGAPIXELS_IN_FLIGHT", 64, 1, 1 << 20) << 20,
            grace_seconds=_integer(env, "CGN_GRACE_SECONDS", 20, 2, 3600),
        )


@dataclass(frozen=True)
class TrainerSettings:
    """Settings of the trainer service."""

    paths: Paths
    edge: EdgeSettings
    port: int  # CGN_TRAINER_PORT
    metrics_port: int  # CGN_TRAINER_METRICS_PORT
    jobs_url: str  # CGN_JOBS_URL: Redis of the Celery broker and the job records
    most_queued: int  # CGN_MOST_QUEUED_JOBS: queued jobs of one caller; 0: any number

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(
            paths=Paths.from_env(env),
            edge=EdgeSettings.from_env(env),
            port=_port(env, "CGN_TRAINER_PORT", 50052),
            metrics_port=_port(env, "CGN_TRAINER_METRICS_PORT", 9102),
            jobs_url=_jobs_url(env),
            most_queued=_integer(env, "CGN_MOST_QUEUED_JOBS", 1000, 0, 1_000_000),
        )


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of a worker."""

    paths: Paths
    host: str  # CGN_HOST: address to bind the metrics port to
    metrics_port: int  # CGN_WORKER_METRICS_PORT
    jobs_url: str  # CGN_JOBS_URL: Redis of the Celery broker and the job records
    threads: int  # CGN_WORKER_THREADS: CPU threads offered to jobs
    gpus: int  # CGN_WORKER_GPUS: GPUs offered to jobs
    memory_mb: int  # CGN_WORKER_MEMORY_MB: what a job may have; 0: nine tenths of the machine or container

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(
            paths=Paths.from_env(env),
            host=_text(env, "CGN_HOST", "127.0.0.1"),
            metrics_port=_port(env, "CGN_WORKER_METRICS_PORT", 9103),
            jobs_url=_jobs_url(env),
            threads=_integer(env, "CGN_WORKER_THREADS", 2, 1, 256),
            gpus=_integer(env, "CGN_WORKER_GPUS", 0, 0, 8),
            memory_mb=_integer(env, "CGN_WORKER_MEMORY_MB", 0, 0, 1 << 30),
        )
