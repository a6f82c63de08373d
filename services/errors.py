"""Errors of the API, and the interceptor that sends them as rich statuses and counts every RPC.

Every error carries google.rpc.ErrorInfo (domain "cgn"); one that is the request's fault also carries
google.rpc.BadRequest with a violation per field.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from common.metrics import RpcMetrics

DOMAIN = "cgn"
# A status travels in HTTP/2 trailers, which clients refuse above 8 KiB; base64 adds a third, and the
# message is in there twice.
_LONGEST_MESSAGE = 800
_LONGEST_DESCRIPTION = 400
_MOST_DETAIL_BYTES = 4096

Violation = tuple[str, str]

log = logging.getLogger(__name__)


class ApiError(Exception):
    """What a handler raises to end its RPC with a rich status.

    code: gRPC status. reason: UPPER_SNAKE_CASE, constant per kind of error. violations: (field path,
    description) pairs. retry_seconds: when to try again, for overload.
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
    """INVALID_ARGUMENT for one field; description names the allowed range and the cure."""
    return invalid_fields([(field, description)], reason)


def invalid_fields(violations: Sequence[Violation], reason: str = "INVALID_FIELD") -> ApiError:
    """INVALID_ARGUMENT for one or more fields. The message repeats the first violation."""
    field, description = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    message = f"{field}: {description}{more}"
    return ApiError(grpc.StatusCode.INVALID_ARGUMENT, reason, message, violations)


def _clip(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _pack(status: status_pb2.Status, detail: Any) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def to_status(error: ApiError) -> status_pb2.Status:
    """The google.rpc.Status of an error, with as many of its violations as trailers can carry."""
    status = status_pb2.Status(code=error.code.value[0], message=_clip(error.message, _LONGEST_MESSAGE))
    _pack(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if error.retry_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_seconds * 1000))
        _pack(status, error_details_pb2.RetryInfo(retry_delay=delay))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for field, description in error.violations:
            bad.field_violations.add(field=field, description=_clip(description, _LONGEST_DESCRIPTION))
            if len(bad.field_violations) > 1 and bad.ByteSize() > _MOST_DETAIL_BYTES:
                del bad.field_violations[-1]
                break
        _pack(status, bad)
    return status


class ErrorInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Ends RPCs whose handler raised, and counts and times every RPC.

    ApiError becomes its rich status, any other exception INTERNAL with a log line. CancelledError is
    always raised again: an aio handler that swallows it leaks memory in grpc. The servers' own health
    and reflection methods are left alone, so that probes do not hide the error rate.
    """

    def __init__(self, metrics: RpcMetrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith("/grpc."):
            return handler
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(method, handler.unary_unary),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return handler

    def _unary(self, method: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:
            began = time.monotonic()
            try:
                response = await behaviour(request, context)
            except BaseException as error:
                await self._end(method, began, context, error)
                raise
            self._count(method, began, grpc.StatusCode.OK)
            return response

        return call

    def _stream(
        self, method: str, behaviour: Callable[..., AsyncIterator[Any]]
    ) -> Callable[..., AsyncIterator[Any]]:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            began = time.monotonic()
            try:
                async for response in behaviour(request, context):
                    yield response
            except BaseException as error:
                await self._end(method, began, context, error)
                raise
            self._count(method, began, grpc.StatusCode.OK)

        return call

    async def _end(self, method: str, began: float, context: Any, error: BaseException) -> None:
        """Counts a failed RPC and ends it; returns only where the caller has to raise `error` again."""
        if isinstance(error, ApiError):
            status = to_status(error)
        elif isinstance(error, asyncio.CancelledError):
            remaining = context.time_remaining()
            # The client cancels at its deadline too, and may be a moment ahead of this server's clock.
            expired = remaining is not None and remaining < 0.05
            self._count(
                method, began, grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
            )
            return
        elif isinstance(error, Exception):
            log.error("request failed", extra={"method": method}, exc_info=error)
            internal = ApiError(
                grpc.StatusCode.INTERNAL,
                "INTERNAL",
                "the server failed on this request; its log says why",
            )
            error, status = internal, to_status(internal)
        else:  # GeneratorExit and the interpreter's own exits
            self._count(method, began, grpc.StatusCode.CANCELLED)
            return
        self._count(method, began, error.code)
        rich = rpc_status.to_status(status)
        await context.abort(rich.code, rich.details, rich.trailing_metadata)

    def _count(self, method: str, began: float, code: grpc.StatusCode) -> None:
        self._metrics.requests.labels(method, code.name).inc()
        self._metrics.request_seconds.labels(method, code.name).observe(time.monotonic() - began)
