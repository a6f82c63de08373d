"""CgnError, the client's only exception, and its conversion from gRPC statuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status


@dataclass(frozen=True)
class Violation:
    """An invalid field, such as ``composites[3].texture.label_index``, and how to correct it."""

    field: str
    description: str


class CgnError(Exception):
    """A request that failed.

    Attributes:
        code: gRPC status, such as "INVALID_ARGUMENT" or "UNAVAILABLE".
        reason: constant per kind of error, such as "MODEL_NOT_FOUND"; empty if no CGN server answered.
        message: one readable line.
        violations: invalid fields; empty if the request is valid.
        retry_seconds: seconds to wait before a retry; None if the server gave none.
        request_id: identifies the request in the server's log; empty if no CGN server answered.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        message: str,
        violations: tuple[Violation, ...] = (),
        retry_seconds: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(f"{code}{f' ({reason})' if reason else ''}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = violations
        self.retry_seconds = retry_seconds
        self.request_id = request_id


def bad_value(field: str, description: str) -> CgnError:
    """Returns the error for a value that the request cannot contain."""
    violation = Violation(field, description)
    return CgnError("INVALID_ARGUMENT", "INVALID_FIELD", f"{field}: {description}", (violation,))


@contextmanager
def convert_errors() -> Iterator[None]:
    """Turns grpc's exceptions into CgnError."""
    try:
        yield
    except grpc.RpcError as error:
        raise _from_call(error) from None


def _from_call(call: Any) -> CgnError:
    status = rpc_status.from_call(call)
    reason, request_id, retry = "", "", None
    violations: tuple[Violation, ...] = ()
    for detail in status.details if status else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        wait = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, request_id = info.reason, info.metadata["request_id"]
        elif detail.Unpack(bad):
            violations = tuple(Violation(v.field, v.description) for v in bad.field_violations)
        elif detail.Unpack(wait):
            retry = wait.retry_delay.ToTimedelta().total_seconds()
    message = call.details() or ""
    if call.code() is grpc.StatusCode.UNAVAILABLE and not reason:  # no CGN server answered
        message = (
            "cannot reach the service: check that it runs (`make up`), that the address is right, and that "
            f"TLS (CGN_TLS_CA) is set as on the server ({message})"
        )
    if call.code() is grpc.StatusCode.DEADLINE_EXCEEDED and not reason:
        message = (
            "the client's timeout has expired; raise it with Client(timeout=...), or request less at once"
        )
    return CgnError(call.code().name, reason, message, violations, retry, request_id)
