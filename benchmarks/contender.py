"""Measures work in a separate process.

Two implementations in one process would slow each other down. With more OpenMP threads than cores in a
process, threads sleep between the parts of a forward pass.
"""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from common.memory import keep_memory

Work = Callable[[int], object]  # the work of one turn, given the turn's number


class Contender:
    """A process that runs named work on request and sleeps in between.

    Args:
        prepare: an importable function; the process calls it once, and it returns the work by name.
        arguments: its arguments.
    """

    def __init__(self, prepare: Callable[..., dict[str, Work]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, prepare, arguments), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()

    def seconds(self, name: str, turn: int) -> float:
        """Runs the work in the process and returns its seconds. Raises RuntimeError if the process dies."""
        self._pipe.send((name, turn))
        while not self._pipe.poll(1.0):
            if not self._process.is_alive():
                raise RuntimeError(f"the process of {name} has died; its output is above")
        return float(self._pipe.recv())


def _serve(pipe: Connection, prepare: Callable[..., dict[str, Work]], arguments: tuple[Any, ...]) -> None:
    keep_memory()
    work = prepare(*arguments)
    while True:
        name, turn = pipe.recv()
        start = time.perf_counter()
        work[name](turn)
        pipe.send(time.perf_counter() - start)
