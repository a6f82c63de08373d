"""The events of a job, as its event log keeps them."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from trainer.jobs.states import JobState


@dataclass(frozen=True)
class StateChange:
    """The job changed its state. message: the cause in one line; may be empty."""

    state: JobState
    message: str


@dataclass(frozen=True)
class Progress:
    """Progress of a running job."""

    step: int  # steps done
    total_steps: int
    step_seconds: float  # seconds per step, median of the last steps
    eta_seconds: float  # seconds to the end, estimated
    values: dict[str, float] = field(default_factory=dict)  # losses and scores by name
    mu_mask: float | None = None  # mean mask value of the last batch, 0 to 1
    images_per_second: float = 0.0  # trained on or generated; 0: unknown


@dataclass(frozen=True)
class Artefact:
    """A file or directory that a job has written."""

    kind: str  # checkpoint, sample_sheet, collapse_report, model, scores, cell, dataset, shard or log
    path: str  # relative to the runs directory; of a model, relative to the models directory
    bytes: int
    digest: str = ""  # sha256: and 64 hexadecimal digits; empty for a directory and for the log


@dataclass(frozen=True)
class LogLine:
    """A line of the job's log."""

    line: str


@dataclass(frozen=True)
class Gap:
    """Older events are no longer kept.

    Readers get this event in their place; it is never written to a log.
    """

    dropped: int  # number of events that are missing at the beginning


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
EVENT_KINDS = tuple(name for name, kind in _KINDS.items() if kind is not Gap)  # the kinds that a log holds


@dataclass(frozen=True)
class Event:
    """An entry of a job's event log."""

    event_id: str  # <milliseconds>-<number>, ascending
    body: Body

    @property
    def time(self) -> float:
        """The time in seconds since 1970, by the clock of Redis."""
        return int(self.event_id.partition("-")[0]) / 1000


def encode(body: Body) -> tuple[str, str]:
    """Returns kind and JSON of an event, as Redis keeps them."""
    return _NAMES[type(body)], json.dumps(dataclasses.asdict(body))


def from_fields(cls: type[B], values: Mapping[str, Any]) -> B:
    """Returns an event with these fields. Ignores fields that only another release has. Raises TypeError."""
    known = {field.name for field in dataclasses.fields(cls)}
    return cls(**{name: value for name, value in values.items() if name in known})


def decode(kind: str, data: str) -> Body:
    """Returns the event of the kind and JSON that encode() returned.

    Raises TypeError or ValueError if this release cannot read it; another release may have written it.
    """
    if kind not in _KINDS:
        raise ValueError(f"no such kind of event: {kind}")
    values: dict[str, Any] = json.loads(data)
    if kind == "state_change":
        values["state"] = JobState(values["state"])
    return from_fields(_KINDS[kind], values)
