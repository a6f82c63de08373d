"""Watching a job if the server misbehaves: it cancels the stream, or sends nothing.

A server does so at the wrong moment only, so these are servers of the tests' own, on a real channel.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from cgn_api.v1 import trainer_pb2 as pb
from cgn_api.v1.trainer_pb2_grpc import TrainerServiceServicer, add_TrainerServiceServicer_to_server
from cgn_client import CgnError, Client
from cgn_client import jobs as client_jobs


class Watched(TrainerServiceServicer):
    """A job with three events. The first stream fails after the first event."""

    def __init__(self, end_badly: Callable[[Any], None]) -> None:
        self.asked: list[str] = []  # after which event, by stream
        self._end_badly = end_badly

    def WatchJob(self, request: pb.WatchJobRequest, context: Any) -> Iterator[pb.JobEvent]:
        self.asked.append(request.after_event_id)
        for number in range(int(request.after_event_id or 0), 3):
            if number == 1 and len(self.asked) == 1:
                self._end_badly(context)
                return
            yield pb.JobEvent(event_id=str(number + 1), log_line=f"line {number + 1}")


@contextmanager
def watched(end_badly: Callable[[Any], None]) -> Iterator[tuple[Watched, Client]]:
    servicer = Watched(end_badly)
    server = grpc.server(ThreadPoolExecutor(4))
    add_TrainerServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Client(trainer=f"127.0.0.1:{port}") as client:
            yield servicer, client
    finally:
        server.stop(0)


def cancel(context: Any) -> None:
    context.abort(grpc.StatusCode.CANCELLED, "")


def test_a_cancelled_stream_is_resumed() -> None:
    with watched(cancel) as (servicer, client):
        assert list(client.tail("job")) == ["line 1", "line 2", "line 3"]
    assert servicer.asked == ["", "1"]


def test_a_silent_stream_is_reopened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_jobs, "_STREAM_SECONDS", 1.0)
    over = threading.Event()
    with watched(lambda context: void(over.wait(60))) as (servicer, client):
        assert list(client.tail("job")) == ["line 1", "line 2", "line 3"]
        over.set()
    assert servicer.asked == ["", "1"]


def test_closing_a_client_ends_its_watchers() -> None:
    over = threading.Event()
    with watched(lambda context: void(over.wait(60))) as (servicer, client):
        events = client.watch("job")
        next(events)
        threading.Timer(0.5, client.close).start()
        with pytest.raises(CgnError, match="CANCELLED"):
            list(events)
        over.set()
    assert servicer.asked == [""]


def void(_: object) -> None:
    """Returns None, for lambdas."""
