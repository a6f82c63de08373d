"""Threads that run forward passes of small networks side by side."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

# More gain little: all of them take Python's lock between the operations of a pass.
_MOST = 4

T = TypeVar("T")


class SideBySide:
    """A few threads, each with its share of the processor.

    A pass of a small network is many short operations. Shared among all cores each of them ends in a wait of
    all for the last; several passes at once, each with cores of its own, wait for nobody.

    Args:
        threads: CPU threads to share out.
    """

    def __init__(self, threads: int) -> None:
        self.count = min(threads, _MOST)
        self._each = threads // self.count
        self._pool = ThreadPoolExecutor(self.count, "cgn-pass")
        # All begin now: a thread that begins when memory has run out may never do so.
        together = threading.Barrier(self.count)
        for ready in [self._pool.submit(self._begin, together) for _ in range(self.count)]:
            ready.result()

    def run(self, passes: Sequence[Callable[[], T]]) -> list[Future[T]]:
        """Runs at most `count` passes; all have ended when this returns."""
        running = [self._pool.submit(one) for one in passes]
        for ended in running:
            ended.exception()
        return running

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def _begin(self, together: threading.Barrier) -> None:
        # The number of OpenMP threads is a property of the calling thread, so it is set in each.
        torch.get_num_threads()  # else torch sets what another thread has set meanwhile, at the first pass
        torch.set_num_threads(self._each)
        together.wait()
