"""Counts unanswered RPCs, so that a server that stops finishes them first."""

import asyncio
import logging
import time
from typing import Any

import grpc

from services.errors import ApiError

# An RPC has ended once its last byte is with the operating system. The connection must stay open longer:
# closing it while messages of the client are unread resets it, and the client loses what it has not read yet.
_LINGER_SECONDS = 1.0

log = logging.getLogger(__name__)


class InFlight:
    """Counts RPCs until their responses are sent, and refuses new RPCs while it drains."""

    def __init__(self) -> None:
        self._count = 0
        self._last_end = -_LINGER_SECONDS
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def enter(self, context: Any) -> None:
        """Counts an RPC until it has ended. Raises ApiError, UNAVAILABLE, while draining."""
        if self._draining:
            raise ApiError(
                grpc.StatusCode.UNAVAILABLE,
                "SHUTTING_DOWN",
                "the server is shutting down; try again, or use another server",
            )
        self._count += 1
        self._empty.clear()
        context.add_done_callback(self._leave)

    def _leave(self, context: Any) -> None:
        self._count -= 1
        self._last_end = time.monotonic()
        if not self._count:
            self._empty.set()

    async def drain(self, seconds: float) -> None:
        """Refuses new RPCs and waits at most `seconds` for those in flight."""
        self._draining = True
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            log.warning("shutdown grace period ended before all RPCs", extra={"rpcs": self._count})
            return
        await asyncio.sleep(self._last_end + _LINGER_SECONDS - time.monotonic())
