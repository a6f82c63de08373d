"""AnswerTimes: how long answers take after their rows have arrived."""

import time
from typing import Any

import pytest

from services.generator.answers import answer_times
from services.generator.answers.answer_times import AnswerTimes


class Context:
    """The context of an RPC that ends when `end` is called."""

    def __init__(self) -> None:
        self._callbacks: list[Any] = []

    def add_done_callback(self, callback: Any) -> None:
        self._callbacks.append(callback)

    def end(self) -> None:
        for callback in self._callbacks:
            callback(self)


def test_the_90th_percentile_counts_and_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    times = AnswerTimes()
    assert times.seconds() == 0
    for took in (*[0.1] * 9, 0.3, *[0.2] * 9, 2.0):
        context = Context()
        times.start(context)
        now += took
        context.end()
    assert times.seconds() == pytest.approx(0.3)
    now += answer_times._SECONDS + 3
    assert times.seconds() == 0
