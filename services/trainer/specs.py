"""Converts the API's specs to configs and back, by one converter for all kinds of job.

An absent proto field takes the default of the config's field of the same name, so each default is in one
place.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message

from cgn.card import CARD_FILE
from cgn_api.v1 import trainer_pb2 as pb
from services.errors import Violation, invalid_fields
from trainer.jobs.record import JobSpec, Resources
from trainer.kinds import KINDS
from trainer.run.kind import Kind
from trainer.run.options import Dataclass, FieldError, config_from_dict, read_options, stored_options

C = TypeVar("C", bound=Dataclass)

_SCALARS = ("priority", "time_limit_seconds", "keep_days")  # of JobSpec, beside its kind


def set_fields(message: Message) -> dict[str, Any]:
    """Returns the fields that are set in a message of optional scalars."""
    return {field.name: value for field, value in message.ListFields()}


def job_spec(spec: pb.JobSpec, models_dir: Path) -> JobSpec:
    """Returns the checked spec of a job, with defaults. Raises ApiError with all violations."""
    violations: list[Violation] = []

    def make(cls: type[C], values: Mapping[str, Any], prefix: str) -> C | None:
        try:
            return config_from_dict(cls, values)
        except FieldError as error:
            errors = (error, *error.more)
            violations.extend((f"{prefix}{each.field}", each.description) for each in errors)
            return None

    kind = spec.WhichOneof("kind")
    if kind is None:
        raise invalid_fields([("spec.kind", f"must be one of {', '.join(KINDS)}, is not set")])
    config = make(KINDS[kind].config, set_fields(getattr(spec, kind)), f"spec.{kind}.")
    resources = make(Resources, set_fields(spec.resources), "spec.resources.")
    uses_model = KINDS[kind].uses_model
    if config and uses_model[0] and getattr(config, uses_model[0]):
        violations += _missing_model(config, KINDS[kind], models_dir, f"spec.{kind}.")
    scalars: dict[str, Any] = {name: getattr(spec, name) for name in _SCALARS if spec.HasField(name)}
    values = {"kind": kind, "config": stored_options(config) if config else {}, "resources": resources}
    checked = make(JobSpec, {**values, **scalars, "labels": dict(spec.labels)}, "spec.")
    if violations or checked is None:
        raise invalid_fields(violations)
    return checked


def published_version(spec: JobSpec, job_id: str, models_dir: Path) -> Path | None:
    """Returns the directory where a job of this id publishes its model; None if its kind publishes none."""
    if spec.kind not in KINDS or not KINDS[spec.kind].publishes:
        return None
    return models_dir / str(spec.config["model_name"]) / f"job-{job_id}"


def _missing_model(config: Dataclass, kind: Kind, models_dir: Path, prefix: str) -> list[Violation]:
    """Returns the violations of the fields that name the model a job needs.

    Its name and version, empty for the newest, are checked patterns already.
    """
    fields = kind.uses_model
    name, version = (getattr(config, field) for field in fields)
    root = models_dir.resolve()
    model = root / name
    if not _directory_below(model, root):
        return [(f"{prefix}{fields[0]}", f'must be a published model, "{name}" is not')]
    if version and not _directory_below(model / version, root):
        description = f'must be a published version of "{name}", "{version}" is not'
        return [(f"{prefix}{fields[1]}", description)]
    families = _families(model, version or "*")
    if kind.family and families and kind.family not in families:
        description = f'must be of family {kind.family}, "{name}" is of {", ".join(sorted(families))}'
        return [(f"{prefix}{fields[0]}", description)]
    return []


def _families(model: Path, versions: str) -> set[str]:
    """The families of a model's versions, as far as their cards can be read; the job itself looks closer."""
    families = set()
    for path in model.glob(f"{versions}/{CARD_FILE}"):
        try:
            families.add(str(json.loads(path.read_text(encoding="utf-8"))["family"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return families


def _directory_below(path: Path, root: Path) -> bool:
    """Whether the directory exists, and does not lead out of root by a symbolic link."""
    return path.is_dir() and path.resolve().is_relative_to(root)


def spec_message(spec: JobSpec) -> pb.JobSpec:
    """Returns the API's message of a job's spec: all fields are set except those of absent options."""
    message = pb.JobSpec(
        resources=pb.Resources(**dataclasses.asdict(spec.resources)),
        labels=spec.labels,
        **{name: getattr(spec, name) for name in _SCALARS},
    )
    if spec.kind not in KINDS:  # a record of another release
        return message
    part = getattr(message, spec.kind)
    part.SetInParent()
    known = part.DESCRIPTOR.fields_by_name
    for name, value in read_options(KINDS[spec.kind].config, spec.config).items():
        if name in known and value is not None:  # a record of another release may have more
            setattr(part, name, value)
    return message
