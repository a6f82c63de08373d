"""A real Redis for the tests of job records, empty at the start of each test."""

from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from redis.asyncio import Redis

from common.redis import async_client, client
from testing.processes import free_port
from testing.redis_process import JOBS_FLAGS, LocalRedis
from trainer.jobs.claims import Claims
from trainer.jobs.queue import JobQueue
from trainer.jobs.record import Resources


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    with LocalRedis(free_port(), tmp_path_factory.mktemp("redis"), JOBS_FLAGS) as server:
        yield server


@pytest.fixture
async def connection(server: LocalRedis) -> AsyncIterator[Redis]:
    async with async_client(server.url) as connection:
        await connection.flushall()
        yield connection


@pytest.fixture
def queue(connection: Redis) -> JobQueue:
    return JobQueue(connection)


@pytest.fixture
def sync_redis(server: LocalRedis) -> Iterator[redis.Redis]:
    with client(server.url) as connection:
        yield connection


@pytest.fixture
def claims(sync_redis: redis.Redis) -> Claims:
    return Claims(sync_redis, "host:1", Resources(2, 0))
