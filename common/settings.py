"""Settings of the processes, read from the environment.

Every variable has a default that works on one machine. A bad value raises SettingsError, whose one
line names the variable, what it may be and how to cure it.
"""

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


@dataclass(frozen=True)
class GeneratorSettings:
    """Settings of the generator service."""

    paths: Paths
    host: str  # CGN_HOST: address to bind
    port: int  # CGN_GENERATOR_PORT
    metrics_port: int  # CGN_GENERATOR_METRICS_PORT
    device: str  # CGN_DEVICE: auto, cpu, cuda or cuda:<index>
    threads: int  # CGN_THREADS: threads of a forward pass; 0: all cores
    cache_url: str | None  # CGN_CACHE_URL: Redis tier of the row cache; None: no such tier
    row_cache_bytes: int  # CGN_ROW_CACHE_MB: in-process tier of the row cache; 0: no such tier
    row_ttl_seconds: int  # CGN_ROW_TTL_SECONDS: life of a row in Redis

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(
            paths=Paths.from_env(env),
            host=_text(env, "CGN_HOST", "127.0.0.1"),
            port=_port(env, "CGN_GENERATOR_PORT", 50051),
            metrics_port=_port(env, "CGN_GENERATOR_METRICS_PORT", 9101),
            device=device_from_env(env),
            threads=_integer(env, "CGN_THREADS", 0, 0, 1024),
            cache_url=_redis_url(env, "CGN_CACHE_URL", "redis://127.0.0.1:6380/0", optional=True),
            row_cache_bytes=_integer(env, "CGN_ROW_CACHE_MB", 256, 0, 1 << 20) << 20,
            row_ttl_seconds=_integer(env, "CGN_ROW_TTL_SECONDS", 86_400, 1, 10 * 365 * 86_400),
        )


@dataclass(frozen=True)
class TrainerSettings:
    """Settings of the trainer service."""

    paths: Paths
    host: str  # CGN_HOST: address to bind
    port: int  # CGN_TRAINER_PORT
    metrics_port: int  # CGN_TRAINER_METRICS_PORT
    jobs_url: str  # CGN_JOBS_URL: Redis of the Celery broker and the job records

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(
            paths=Paths.from_env(env),
            host=_text(env, "CGN_HOST", "127.0.0.1"),
            port=_port(env, "CGN_TRAINER_PORT", 50052),
            metrics_port=_port(env, "CGN_TRAINER_METRICS_PORT", 9102),
            jobs_url=_jobs_url(env),
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

    @classmethod
    def from_env(cls, env: Environ = os.environ) -> Self:
        return cls(
            paths=Paths.from_env(env),
            host=_text(env, "CGN_HOST", "127.0.0.1"),
            metrics_port=_port(env, "CGN_WORKER_METRICS_PORT", 9103),
            jobs_url=_jobs_url(env),
            threads=_integer(env, "CGN_WORKER_THREADS", 2, 1, 256),
            gpus=_integer(env, "CGN_WORKER_GPUS", 0, 0, 8),
        )
