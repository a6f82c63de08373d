"""Redis clients with bounded waits, and one line that says what to do when Redis is not there."""

from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0

# No retries: a command whose answer was lost may have been carried out, and only the caller knows
# whether doing it again is harmless. Connections that the server has closed are renewed all the same,
# but with protocol 2 only: under 3, redis-py takes a closed one for one with a notification to read.
_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "protocol": 2,
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_timeout": ANSWER_SECONDS,
    "max_connections": 5000,  # redis-py's 100 would lock everyone out while 100 clients watch jobs
}


def client(url: str, **options: Any) -> redis.Redis:
    """A client that connects on first use; it decodes responses unless options say otherwise."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **{**_OPTIONS, **options})


def async_client(url: str, **options: Any) -> redis.asyncio.Redis:
    """As client(), for asyncio."""
    return redis.asyncio.Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **{**_OPTIONS, **options})


def not_durable(connection: redis.Redis) -> list[str]:
    """How a Redis is set up to lose what it has acknowledged; empty also if it does not say.

    Raises redis.exceptions.RedisError if it cannot be reached.
    """
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    try:
        found: Any = {name: connection.config_get(name).get(name) for name in wanted}
    except redis.ResponseError:  # where others run it for you, it may keep its configuration to itself
        return []
    return [f"{name} {found[name]}, not {value}" for name, value in wanted.items() if found[name] != value]


def absent(url: str, variable: str, error: Exception) -> str:
    """One line for a Redis that cannot be used: where, why, and the cure. variable: where its URL is set."""
    parts = urlsplit(url)
    shown = url.replace(f":{parts.password}@", ":***@") if parts.password else url
    why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return f"no Redis at {shown} ({why}): start redis-server there, or set {variable} to the URL of one"
