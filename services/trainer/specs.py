"""Specs of the API to configs and back: one converter for every kind of job.

A proto field that is absent takes the default of the config's field of the same name, so a default
lives in one place.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message

from cgn_api.v1 import trainer_pb2 as pb
from services.errors import Violation, invalid_fields
from trainer.jobs.kinds import KINDS
from trainer.jobs.record import JobSpec, Resources
from trainer.runs.config import Dataclass, FieldError, config_from_dict
from trainer.runs.reproduce_cell_config import ReproduceCellConfig
from trainer.runs.train_classifier_config import TrainClassifierConfig

C = TypeVar("C", bound=Dataclass)


def given_fields(message: Message) -> dict[str, Any]:
    """The fields that a message of optional scalars has been given."""
    return {field.name: value for field, value in message.ListFields()}


def job_spec(spec: pb.JobSpec, models_dir: Path) -> JobSpec:
    """The checked spec of a job, defaults filled in. Raises ApiError with every violation found."""
    violations: list[Violation] = []

    def make(cls: type[C], values: Mapping[str, Any], prefix: str) -> C | None:
        try:
            return config_from_dict(cls, values)
        except FieldError as error:
            violations.append((f"{prefix}{error.field}", error.description))
            return None

    kind = spec.WhichOneof("kind")
    if kind is None:
        raise invalid_fields([("spec.kind", f"must be one of {', '.join(KINDS)}, is not set")])
    config = make(KINDS[kind].config, given_fields(getattr(spec, kind)), f"spec.{kind}.")
    resources = make(Resources, given_fields(spec.resources), "spec.resources.")
    if isinstance(config, TrainClassifierConfig | ReproduceCellConfig) and config.model_name:
        violations += _missing_model(config, models_dir, f"spec.{kind}.")
    priority = {"priority": spec.priority} if spec.HasField("priority") else {}
    values = {"kind": kind, "config": dataclasses.asdict(config) if config else {}, "resources": resources}
    checked = make(JobSpec, {**values, **priority}, "spec.")
    if violations or checked is None:
        raise invalid_fields(violations)
    return checked


def _missing_model(
    config: TrainClassifierConfig | ReproduceCellConfig, models_dir: Path, prefix: str
) -> list[Violation]:
    """What is wrong with the model that a job names, if anything. Its names are checked patterns already."""
    root = models_dir.resolve()
    model = root / config.model_name
    if not _directory_below(model, root):
        return [(f"{prefix}model_name", f'must be a published model, "{config.model_name}" is not')]
    if config.model_version and not _directory_below(model / config.model_version, root):
        description = f'must be a published version of "{config.model_name}", "{config.model_version}" is not'
        return [(f"{prefix}model_version", description)]
    return []


def _directory_below(path: Path, root: Path) -> bool:
    """Whether there is such a directory, and no symbolic link leads it out of root."""
    return path.is_dir() and path.resolve().is_relative_to(root)


def spec_message(spec: JobSpec) -> pb.JobSpec:
    """The API's message of a job's spec, all fields set."""
    message = pb.JobSpec(priority=spec.priority, resources=pb.Resources(**dataclasses.asdict(spec.resources)))
    if spec.kind not in KINDS:  # a record of another release
        return message
    part = getattr(message, spec.kind)
    part.SetInParent()
    known = part.DESCRIPTOR.fields_by_name
    for name, value in spec.config.items():
        if name in known:  # a record of another release may have more
            setattr(part, name, value)
    return message
