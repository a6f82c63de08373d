"""JSON log lines, and their format on a terminal."""

import json
import logging
import sys

import pytest

from common.logs import JsonFormatter, as_text


def line(level: int, message: str, **fields: object) -> str:
    record = logging.makeLogRecord(
        {"levelno": level, "levelname": logging.getLevelName(level), "name": "a.b", "msg": message, **fields}
    )
    return JsonFormatter("worker").format(record)


def test_a_record_is_shown_as_time_message_and_fields() -> None:
    text = as_text(line(logging.INFO, "model served", model="m", size=3, why="a b", path="x=y", none=None))
    assert text[8:] == ' model served model=m size=3 why="a b" path="x=y" none=null'
    assert [len(part) for part in text[:8].split(":")] == [2, 2, 2]


def test_levels_above_info_are_shown() -> None:
    assert as_text(line(logging.WARNING, "slow"))[8:] == " WARNING slow"
    assert as_text(line(logging.DEBUG, "quick"))[8:] == " quick"


def test_an_exception_follows_on_further_lines() -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        text = as_text(line(logging.ERROR, "failed", exc_info=sys.exc_info(), job_id="0a"))
    first, second, *_, last = text.splitlines()
    assert first[8:] == " ERROR failed job_id=0a"
    assert (second, last) == ("Traceback (most recent call last):", "ValueError: bad")


OTHERS = [
    "",
    "6088:M 22 Nov 2026 17:17:04.213 # Server initialized",
    "12",
    '{"message": "half',
    '{"message": "of another program"}',
    json.dumps({"time": "noon", "level": "INFO", "process": "p", "logger": "l", "message": "m"}),
]


@pytest.mark.parametrize("other", OTHERS)
def test_other_lines_are_unchanged(other: str) -> None:
    assert as_text(other) == other
