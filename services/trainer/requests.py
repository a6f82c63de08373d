"""Checks of the fields of TrainerService's requests."""

import base64
import re
import uuid
from collections.abc import Sequence
from typing import Any

from cgn_api.v1 import trainer_pb2 as pb
from services.errors import invalid
from services.trainer.messages import job_state, state_number
from trainer.jobs.errors import UnknownJob
from trainer.jobs.events import EVENT_KINDS
from trainer.jobs.queue import JOB_ID, JOB_ID_HELP, JobFilter, is_event_id
from trainer.jobs.record import check_labels
from trainer.jobs.states import JobState
from trainer.kinds import KINDS
from trainer.run.options import FieldError

_PAGE = 50
_LARGEST_PAGE = 1000
_TOKEN = re.compile(r"before:(\d{1,16})")


def job_id(text: str, field: str = "job_id") -> str:
    """Returns the id. Raises UnknownJob for a text that cannot be the id of a job."""
    if not text:
        raise invalid(field, "must be the id of a job, is empty")
    if not JOB_ID.fullmatch(text):
        raise UnknownJob(text)
    return text


def new_job_id(text: str, field: str) -> str:
    """Returns the id that a caller chooses for a new job; empty: the service chooses."""
    if text and not JOB_ID.fullmatch(text):
        raise invalid(
            field, f"must be {JOB_ID_HELP}, or empty for one of the service's choice, is {text!r:.80}"
        )
    return text


def request_id(text: str) -> str:
    """Returns the id in its canonical spelling; empty if there is none."""
    try:
        return str(uuid.UUID(text)) if text else ""
    except ValueError:
        raise invalid("request_id", "must be a UUID or empty") from None


def page_size(number: int) -> int:
    if number < 0:
        raise invalid("page_size", f"must be 0 to {_LARGEST_PAGE}, is {number}")
    return min(number, _LARGEST_PAGE) or _PAGE


def page_token(sequence: int) -> str:
    """Returns the token of the page that begins after the job with this Job.sequence."""
    return base64.urlsafe_b64encode(b"before:%d" % sequence).decode()


def page_begin(token: str) -> int | None:
    """Returns the sequence below which the page of a token begins; None: the first page."""
    if not token:
        return None
    try:
        match = _TOKEN.fullmatch(base64.urlsafe_b64decode(token).decode())
    except ValueError:
        match = None
    if match is None:
        raise invalid("page_token", "must be next_page_token of the page before, or empty for the first page")
    return int(match[1])


def job_filter(request: pb.ListJobsRequest) -> JobFilter:
    """Returns the filter of a ListJobs request."""
    for place, kind in enumerate(request.kinds):
        if kind not in KINDS:
            raise invalid(f"kinds[{place}]", f"must be one of {', '.join(KINDS)}, is {kind!r:.80}")
    try:
        check_labels(request.labels)
    except FieldError as error:
        raise invalid("labels", error.description) from None
    if request.parent:
        job_id(request.parent, "parent")
    return JobFilter(
        states=_states(list(request.states)),
        kinds=list(request.kinds),
        labels=dict(request.labels),
        parent=request.parent,
        owner=request.owner,
    )


def _states(numbers: list[int]) -> list[JobState]:
    """Returns the requested states, each once; all states if none is named."""
    states = [job_state(number) for number in numbers]
    if None in states:
        allowed = ", ".join(f"JOB_STATE_{state} ({state_number(state)})" for state in JobState)
        bad = numbers[states.index(None)]
        raise invalid(f"states[{states.index(None)}]", f"must be one of {allowed}, is {bad}")
    return [state for state in JobState if not states or state in states]


def after_event(text: str) -> str:
    if text and not is_event_id(text):
        raise invalid(
            "after_event_id", "must be the event_id of an event of this job, or empty for the first event"
        )
    return text


def event_kinds(numbers: Sequence[Any]) -> list[str]:
    """Returns the requested kinds of events, as names of JobEvent's fields; all kinds if none is named."""
    names = {pb.EventKind.Value(f"EVENT_KIND_{kind.upper()}"): kind for kind in EVENT_KINDS}
    for place, number in enumerate(numbers):
        if number not in names:
            allowed = ", ".join(f"{pb.EventKind.Name(known)} ({known})" for known in names)
            raise invalid(f"kinds[{place}]", f"must be one of {allowed}, is {number}")
    return [names[number] for number in numbers] or list(EVENT_KINDS)


def artefact_path(text: str) -> str:
    if not text or "\0" in text:
        raise invalid("path", "must be the path of an artefact of the job, as GetJob lists them")
    return text


def offset_within(offset: int, size: int) -> int:
    if offset > size:
        raise invalid("offset", f"must be 0 to {size}, the file's size in bytes, is {offset}")
    return offset
