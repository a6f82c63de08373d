"""RPCs that are being answered, so that a server which stops loses none of them."""

import asyncio
import logging
import time
from typing import Any

import grpc

from services.errors import ApiError

# An answer counts as given once its last byte is with the operating system. The connection must outlive that
# moment: to close it while the client's own messages lie unread resets it, and what the client has not
# read by then is lost.
_LINGER_SECONDS = 1.0

log = logging.getLogger(__name__)


class InFlight:
    """Counts RPCs until their answers are sent, and refuses new ones while it drains."""

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
                "the server is shutting down; try again, or another server",
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
        """Refuses new RPCs and waits, at most `seconds`, until those in flight have been answered."""
        self._draining = True
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            log.warning("the grace has ended before all RPCs", extra={"rpcs": self._count})
            return
        await asyncio.sleep(self._last_end + _LINGER_SECONDS - time.monotonic())
