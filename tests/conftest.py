"""What tests of a worker have: Redis, Celery, the queue, and workers that are killed in the end."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from celery import Celery  # type: ignore[import-untyped]
from redis.asyncio import Redis

from common.redis import async_client
from testing.processes import ModuleProcess, free_port
from testing.redis_process import JOBS_FLAGS, LocalRedis
from tests.worker_jobs import LEASE_SECONDS, StartWorker
from trainer.jobs.queue import JobQueue
from trainer.jobs.wakeup import celery_app


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs tests of real processes first, so that no slow test is left at the end."""
    order = ["trainer", "services", "client", "deploy", "benchmarks", "chaos", "fuzz", "cgn"]

    def place(item: pytest.Item) -> int:
        folder = item.nodeid.split("/")[1] if item.nodeid.count("/") > 1 else ""
        return order.index(folder) if folder in order else len(order)

    items.sort(key=place)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalRedis]:
    with LocalRedis(free_port(), tmp_path / "redis", JOBS_FLAGS) as server:
        yield server


@pytest.fixture
def celery(server: LocalRedis) -> Celery:
    return celery_app(server.url)


@pytest.fixture
async def redis(server: LocalRedis) -> AsyncIterator[Redis]:
    async with async_client(server.url) as connection:
        yield connection


@pytest.fixture
def queue(redis: Redis) -> JobQueue:
    return JobQueue(redis)


@pytest.fixture
def start_worker(tmp_path: Path, server: LocalRedis) -> Iterator[StartWorker]:
    started: list[ModuleProcess] = []

    def start(**settings: str) -> ModuleProcess:
        env = {
            "TMPDIR": str(tmp_path),  # where the slots of GPUs are
            "CGN_JOBS_URL": server.url,
            "CGN_WORKER_METRICS_PORT": str(free_port()),
            "CGN_RUNS_DIR": str(tmp_path / "runs"),
            "CGN_MODELS_DIR": str(tmp_path / "models"),
            **settings,
        }
        log = tmp_path / f"worker-{len(started)}.log"
        worker = ModuleProcess("tests.runs.worker", str(LEASE_SECONDS), log=log, env=env)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.kill()
