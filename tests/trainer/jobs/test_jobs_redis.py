"""The Redis of the jobs is durable, and a Redis that is not is recognized."""

import asyncio
from pathlib import Path

import pytest

from common.redis import async_client, client, not_durable
from testing.processes import free_port
from testing.redis_process import JOBS_FLAGS, LocalRedis
from trainer.jobs.queue import JobQueue
from trainer.jobs.record import JobSpec, Resources

REQUEST = "0b9d25b0-5a0c-4f8e-9f3d-0c9c1f6c1d55"
SPEC = JobSpec("train_cgn", {"steps": 10}, Resources(2, 0))


async def test_an_accepted_job_survives_a_kill_of_redis(tmp_path: Path) -> None:
    port = free_port()
    with LocalRedis(port, tmp_path, JOBS_FLAGS) as server:
        async with async_client(server.url) as connection:
            job = await JobQueue(connection).submit(SPEC, REQUEST)
            server.process.kill()
            await asyncio.to_thread(server.process.wait)
            with LocalRedis(port, tmp_path, JOBS_FLAGS):
                # The same client, with its broken connection in the pool, works again.
                assert await JobQueue(connection).get(job.job_id) == job
                assert (await JobQueue(connection).submit(SPEC, REQUEST)).job_id == job.job_id


def test_a_redis_that_may_lose_jobs_is_recognized(
    tmp_path: Path,
) -> None:
    flags = JOBS_FLAGS
    with LocalRedis(free_port(), tmp_path / "a", flags) as durable, client(durable.url) as connection:
        assert not_durable(connection) == []
    with LocalRedis(free_port(), tmp_path) as plain, client(plain.url) as connection:
        assert not_durable(connection) == ["appendonly no, not yes", "appendfsync everysec, not always"]


def test_a_redis_that_cannot_start_says_why(tmp_path: Path) -> None:
    used = free_port()
    with LocalRedis(used, tmp_path / "first"), pytest.raises(RuntimeError, match="did not start"):
        LocalRedis(used, tmp_path / "second")
