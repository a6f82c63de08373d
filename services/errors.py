"""Errors of the API and their rich statuses.

Every error carries google.rpc.ErrorInfo: domain "cgn", and the request id in its metadata. An error caused by
the request also carries google.rpc.BadRequest with a violation per field.
"""

import math
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

DOMAIN = "cgn"
# A status is sent in HTTP/2 trailers, which clients refuse above 8 KiB. The trailers contain the message
# twice, and base64 adds a third.
_LONGEST_MESSAGE = 800
_LONGEST_DESCRIPTION = 400
_LONGEST_FIELD = 200
_MOST_DETAIL_BYTES = 3584

Violation = tuple[str, str]


class ApiError(Exception):
    """Raised by a handler to end its RPC with a rich status.

    Attributes:
        code: gRPC status.
        reason: UPPER_SNAKE_CASE, constant per kind of error.
        message: one line for the user.
        violations: (field path, description) pairs; empty if the request is valid.
        retry_seconds: seconds after which a retry may succeed; None: no advice.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        violations: Sequence[Violation] = (),
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.retry_seconds = retry_seconds


def invalid(field: str, description: str, reason: str = "INVALID_FIELD") -> ApiError:
    """Returns INVALID_ARGUMENT for one field. The description states how to correct the field."""
    return invalid_fields([(field, description)], reason)


def invalid_fields(violations: Sequence[Violation], reason: str = "INVALID_FIELD") -> ApiError:
    """Returns INVALID_ARGUMENT for one or more fields. The message repeats the first violation."""
    field, description = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    message = f"{field}: {description}{more}"
    return ApiError(grpc.StatusCode.INVALID_ARGUMENT, reason, message, violations)


def _clip(text: str, length: int) -> str:
    """Clips a text to `length` bytes in grpc's percent-encoding, where each non-ASCII byte takes three."""
    if len(text) * 12 <= length:
        return text
    size = 0
    for i, letter in enumerate(text):
        size += 1 if " " <= letter <= "~" else 3 * len(letter.encode(errors="replace"))
        if size > length:
            return text[: max(0, i - 3)] + "..."
    return text


def _pack(status: status_pb2.Status, detail: Any) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def to_status(error: ApiError, request_id: str) -> status_pb2.Status:
    """Returns the google.rpc.Status of an error, with as many violations as trailers can carry."""
    status = status_pb2.Status(code=error.code.value[0], message=_clip(error.message, _LONGEST_MESSAGE))
    metadata = {"request_id": request_id}
    _pack(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    if error.retry_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(math.ceil(error.retry_seconds * 1000))
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for field, description in error.violations:
            bad.field_violations.add(
                field=_clip(field, _LONGEST_FIELD), description=_clip(description, _LONGEST_DESCRIPTION)
            )
            if len(bad.field_violations) > 1 and bad.ByteSize() > _MOST_DETAIL_BYTES:
                del bad.field_violations[-1]
                break
        _pack(status, bad)
    return status
