"""Redis clients with timeouts, and a one-line error for an unreachable Redis."""

from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0

# No retries: a command without an answer may have been executed, and only the caller knows whether it may be
# repeated. Connections closed by the server are still renewed, but only with protocol 2: with protocol 3,
# redis-py mistakes a closed connection for one with a pending notification.
_OPTIONS: dict[str, Any] = {
    "decode_responses": True,
    "protocol": 2,
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_timeout": ANSWER_SECONDS,
    "max_connections": 5000,  # the default of 100 would be exhausted by 100 clients that watch jobs
}


def client(url: str, **options: Any) -> redis.Redis:
    """Returns a client that connects on first use. It decodes responses unless `options` override that."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **{**_OPTIONS, **options})


def async_client(url: str, **options: Any) -> redis.asyncio.Redis:
    """Returns a client like client(), for asyncio."""
    return redis.asyncio.Redis.from_url(url, retry=AsyncRetry(NoBackoff(), 0), **{**_OPTIONS, **options})


def not_durable(connection: redis.Redis) -> list[str]:
    """Returns the settings with which a Redis may lose acknowledged writes.

    The list is empty if there are none, or if the server hides its configuration. Raises
    redis.exceptions.RedisError if Redis cannot be reached.
    """
    required = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    try:
        actual: Any = {name: connection.config_get(name).get(name) for name in required}
    except redis.ResponseError:  # hosted services may not allow CONFIG GET
        return []
    return [
        f"{name} {actual[name]}, not {value}" for name, value in required.items() if actual[name] != value
    ]


def absent(url: str, variable: str, error: Exception) -> str:
    """Returns one line for an unreachable Redis: where, why, and the cure. variable: sets its URL."""
    parts = urlsplit(url)
    shown = url.replace(f":{parts.password}@", ":***@") if parts.password else url
    why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return f"no Redis at {shown} ({why}): start redis-server there, or set {variable} to the URL of one"
