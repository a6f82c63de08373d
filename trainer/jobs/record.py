"""A job's record, as it stands in Redis and as the services show it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.jobs.events import Artefact, Progress, made
from trainer.jobs.states import JobState
from trainer.runs.config import check_options, option


@dataclass(frozen=True)
class Resources:
    """What a job asks of the worker that runs it. Raises FieldError."""

    cpu_threads: int = option(2, "CPU threads", low=1, high=256)
    gpus: int = option(0, "GPUs", low=0, high=8)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class JobSpec:
    """What a job is to do. Raises FieldError for a priority out of range."""

    kind: str  # of trainer.jobs.kinds
    config: Mapping[str, Any]  # the kind's options, checked by its config class when it was submitted
    resources: Resources
    priority: int = option(0, "higher ones are claimed first", low=-100, high=100)

    def __post_init__(self) -> None:
        check_options(self)

    def fields(self) -> dict[str, str]:
        """The spec as fields of the record."""
        return {
            "kind": self.kind,
            "config": json.dumps(self.config, sort_keys=True),
            "cpu_threads": str(self.resources.cpu_threads),
            "gpus": str(self.resources.gpus),
            "priority": str(self.priority),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> "JobSpec":
        return cls(
            kind=fields["kind"],
            config=json.loads(fields["config"]),
            resources=Resources(int(fields["cpu_threads"]), int(fields["gpus"])),
            priority=int(fields["priority"]),
        )

    def digest(self) -> str:
        """Equal for equal specs, defaults filled in."""
        return hashlib.blake2b(json.dumps(self.fields()).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Job:
    """A job as it stands. Times are seconds since 1970 by Redis's clock."""

    job_id: str
    spec: JobSpec
    state: JobState
    sequence: int  # order of submission
    queue_position: int = 0  # 1 is next; 0: not queued
    attempt: int = 0  # how often it was started
    worker: str = ""  # host:pid that runs or ran it last
    message: str = ""  # why it ended as it did, or was queued again
    create_time: float = 0.0
    start_time: float | None = None  # of the last attempt
    end_time: float | None = None
    progress: Progress | None = None
    artefacts: tuple[Artefact, ...] = ()
    model_name: str = ""
    model_version: str = ""

    @classmethod
    def from_record(cls, fields: Mapping[str, str], artefacts: Sequence[str], rank: int | None) -> "Job":
        """fields: the hash. artefacts: JSON, newest last. rank: place in the queue from 0, or None."""
        # A run that is resumed may make a file again; the last word on a path holds.
        by_path: dict[str, Artefact] = {}
        for text in artefacts:
            artefact = made(Artefact, json.loads(text))
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
            create_time=float(fields["create_time"]),
            start_time=_seconds(fields.get("start_time")),
            end_time=_seconds(fields.get("end_time")),
            progress=made(Progress, progress) if progress else None,
            artefacts=tuple(by_path.values()),
            model_name=fields.get("model_name", ""),
            model_version=fields.get("model_version", ""),
        )


def _seconds(text: str | None) -> float | None:
    return None if text is None else float(text)
