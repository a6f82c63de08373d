"""JSON logs to stderr, one object per line; and their formatting for people."""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

# Attributes of every LogRecord. Other attributes come from `extra=` and are written to the line.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


# Fields added to every record of the current task, such as the request id.
task_fields: ContextVar[Mapping[str, str]] = ContextVar("task_fields", default=MappingProxyType({}))

# Fields that the formatter writes for every record, before task_fields and `extra=`.
_ALWAYS = ("time", "level", "process", "logger", "message")


class JsonFormatter(logging.Formatter):
    """Writes a record as JSON: time, level, process, logger, message, task_fields, fields of `extra=`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(task_fields.get())
        line.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def as_text(line: str) -> str:
    """Formats a line of JsonFormatter as `HH:MM:SS LEVEL message key=value ...`; returns other lines
    unchanged.

    The time is local. Levels up to INFO, the process and the logger are omitted. An exception follows on
    further lines.
    """
    try:
        record = json.loads(line)
        if not isinstance(record, dict):
            return line
        time, level, _, _, message = (str(record.pop(key)) for key in _ALWAYS)
        clock = datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S")
    except (ValueError, KeyError, RecursionError):
        return line
    exception = record.pop("exception", None)
    words = [clock, *([] if level in ("DEBUG", "INFO") else [level]), message.rstrip()]
    words += [f"{key}={_value_as_text(value)}" for key, value in record.items()]
    return " ".join(words) + (f"\n{exception}" if exception else "")


def _value_as_text(value: object) -> str:
    plain = isinstance(value, str) and value and not any(c.isspace() or c in '"=' for c in value)
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def setup(process: str, level: int = logging.INFO) -> None:
    """Writes every log record of this process to stderr as JSON.

    process: name of the role, such as "generator". Add fields with `extra={"model": ...}`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
