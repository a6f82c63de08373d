"""What happens to a job, as its event log keeps it."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from trainer.jobs.states import JobState


@dataclass(frozen=True)
class StateChange:
    """The job changed its state; message says why in one line, and may be empty."""

    state: JobState
    message: str


@dataclass(frozen=True)
class Progress:
    """How far a running job has come."""

    step: int  # steps done
    total_steps: int
    step_seconds: float  # seconds per step, median of the last ones
    eta_seconds: float  # seconds to the end, estimated
    values: dict[str, float] = field(default_factory=dict)  # losses and scores by name
    mu_mask: float | None = None  # mean mask value of the last batch, 0 to 1
    images_per_second: float = 0.0  # trained on or made; 0: the run does not say


@dataclass(frozen=True)
class Artefact:
    """A file that a job has made."""

    kind: str  # checkpoint, sample_sheet, collapse_report, model, scores, cell, dataset, shard or log
    path: str  # below the runs directory; a model's below the models directory
    bytes: int
    digest: str = ""  # sha256: and 64 hexadecimal digits; empty of a directory, and of the log


@dataclass(frozen=True)
class LogLine:
    """A line of the job's log."""

    line: str


@dataclass(frozen=True)
class Gap:
    """Older events are no longer kept. Told to who reads a log from before its beginning, never written."""

    dropped: int  # events that the log has lost at its beginning


Body = StateChange | Progress | Artefact | LogLine | Gap
B = TypeVar("B", bound=Body)

_KINDS: dict[str, type[Body]] = {
    "state_change": StateChange,
    "progress": Progress,
    "artefact": Artefact,
    "log_line": LogLine,
    "gap": Gap,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
EVENT_KINDS = tuple(name for name, kind in _KINDS.items() if kind is not Gap)  # that a log holds


@dataclass(frozen=True)
class Event:
    """An entry of a job's event log."""

    event_id: str  # <milliseconds>-<number>, ascending
    body: Body

    @property
    def time(self) -> float:
        """Seconds since 1970, by Redis's clock."""
        return int(self.event_id.partition("-")[0]) / 1000


def encode(body: Body) -> tuple[str, str]:
    """Kind and JSON of an event, as kept in Redis."""
    return _NAMES[type(body)], json.dumps(dataclasses.asdict(body))


def from_fields(cls: type[B], values: Mapping[str, Any]) -> B:
    """An event of its fields; what another release wrote besides is left out. Raises TypeError."""
    known = {field.name for field in dataclasses.fields(cls)}
    return cls(**{name: value for name, value in values.items() if name in known})


def decode(kind: str, data: str) -> Body:
    """The event that encode() gave as kind and JSON.

    Raises TypeError or ValueError if it is none, as one of another release may be.
    """
    if kind not in _KINDS:
        raise ValueError(f"no such kind of event: {kind}")
    values: dict[str, Any] = json.loads(data)
    if kind == "state_change":
        values["state"] = JobState(values["state"])
    return from_fields(_KINDS[kind], values)
