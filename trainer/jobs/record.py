"""A job's record, as Redis keeps it and as the services show it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.jobs.events import Artefact, Progress, from_fields
from trainer.jobs.states import JobState
from trainer.run.options import HIGHEST_COUNT, FieldError, check_options, option

MOST_LABELS = 32
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
_LABEL_VALUE = re.compile(r"[^\x00-\x1f\x7f]{0,63}")


@dataclass(frozen=True)
class Resources:
    """The resources that a job needs from its worker. Raises FieldError."""

    cpu_threads: int = option(2, "CPU threads", low=1, high=256)
    gpus: int = option(0, "GPUs", low=0, high=8)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class JobSpec:
    """The specification of a job. Raises FieldError."""

    kind: str  # of trainer.kinds
    config: Mapping[str, Any]  # options of its kind, checked by the kind's config class at submission
    resources: Resources
    priority: int = option(0, "higher ones are claimed first", low=-100, high=100)
    time_limit_seconds: int = option(
        0, "seconds that it may run, all attempts together", low=1, high=HIGHEST_COUNT, zero="no limit"
    )
    keep_days: int = option(90, "days that its record and its files are kept after its end", low=1, high=3650)
    labels: Mapping[str, str] = field(default_factory=dict)  # the caller's own, for finding jobs

    def __post_init__(self) -> None:
        check_options(self)
        check_labels(self.labels)

    def fields(self) -> dict[str, str]:
        """Returns the spec as fields of the record."""
        return {
            "kind": self.kind,
            "config": json.dumps(self.config, sort_keys=True),
            "cpu_threads": str(self.resources.cpu_threads),
            "gpus": str(self.resources.gpus),
            "priority": str(self.priority),
            "time_limit_seconds": str(self.time_limit_seconds),
            "keep_days": str(self.keep_days),
            "labels": json.dumps(dict(self.labels), sort_keys=True),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> "JobSpec":
        optional = {name: int(fields[name]) for name in ("time_limit_seconds", "keep_days") if name in fields}
        return cls(
            kind=fields["kind"],
            config=json.loads(fields["config"]),
            resources=Resources(int(fields["cpu_threads"]), int(fields["gpus"])),
            priority=int(fields["priority"]),
            labels=json.loads(fields.get("labels", "{}")),
            **optional,
        )


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises FieldError for too many labels, or for a label that is not allowed."""
    if len(labels) > MOST_LABELS:
        raise FieldError("labels", f"must be {MOST_LABELS} pairs at most, are {len(labels)}")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            allowed = "keys must be a lowercase letter, then up to 62 of a-z, 0-9, '_', '.', '-'"
            raise FieldError("labels", f"{allowed}; one is {key[:80]!r}")
        if not _LABEL_VALUE.fullmatch(value):
            allowed = "must be up to 63 characters, none of them a control character"
            raise FieldError("labels", f"the value of {key} {allowed}, is {value[:80]!r}")


@dataclass(frozen=True)
class Lineage:
    """Where a job comes from: the job that it resumes or repeats, if any."""

    parent: str = ""  # id of that job; empty: none
    from_checkpoint: bool = False  # begin with the parent's last checkpoint, not from zero


@dataclass(frozen=True)
class Job:
    """A job's record, as just read. Times are seconds since 1970 by the clock of Redis."""

    job_id: str
    spec: JobSpec
    state: JobState
    sequence: int  # order of submission
    queue_position: int = 0  # 1 is next; 0: not queued
    attempt: int = 0  # number of attempts so far
    worker: str = ""  # host:pid of the present or last worker
    message: str = ""  # why it entered its state; may be empty
    reason: str = ""  # of a FAILED job: a value of trainer.jobs.reasons.Reason
    create_time: float = 0.0
    start_time: float | None = None  # of the last attempt
    end_time: float | None = None
    progress: Progress | None = None
    artefacts: tuple[Artefact, ...] = ()
    model_name: str = ""
    model_version: str = ""
    owner: str = ""  # who submitted it (services.edge.caller)
    lineage: Lineage = Lineage()

    @classmethod
    def from_record(cls, fields: Mapping[str, str], artefacts: Sequence[str], rank: int | None) -> "Job":
        """Returns the job of a record.

        fields: the hash. artefacts: JSON, newest last. rank: place in the queue from 0; None: not queued.
        """
        # A resumed run may write a file again: the last entry of a path counts.
        by_path: dict[str, Artefact] = {}
        for text in artefacts:
            artefact = from_fields(Artefact, json.loads(text))
            by_path.pop(artefact.path, None)
            by_path[artefact.path] = artefact
        progress: dict[str, Any] | None = json.loads(fields.get("progress", "null"))
        return cls(
            job_id=fields["id"],
            spec=JobSpec.from_fields(fields),
            state=JobState(fields["state"]),
            sequence=int(fields["sequence"]),
            queue_position=0 if rank is None else rank + 1,
            attempt=int(fields["attempt"]),
            worker=fields.get("worker", ""),
            message=fields["message"],
            reason=fields.get("reason", ""),
            create_time=float(fields["create_time"]),
            start_time=_seconds(fields.get("start_time")),
            end_time=_seconds(fields.get("end_time")),
            progress=from_fields(Progress, progress) if progress else None,
            artefacts=tuple(by_path.values()),
            model_name=fields.get("model_name", ""),
            model_version=fields.get("model_version", ""),
            owner=fields.get("owner", ""),
            lineage=Lineage(fields.get("parent", ""), fields.get("from_checkpoint") == "1"),
        )


def _seconds(text: str | None) -> float | None:
    return None if text is None else float(text)
