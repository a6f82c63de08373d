"""Wraps every RPC: request id, caller, limits, errors, metrics, trace."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from inspect import iscoroutinefunction
from typing import Any

import grpc
from google.protobuf.message import DecodeError, EncodeError
from grpc_status import rpc_status

from common.logs import task_fields
from common.metrics import RpcMetrics
from services.edge.access import Access, check_role
from services.edge.caller import ANYONE, Caller, set_caller
from services.edge.limits import Limits
from services.edge.rules import Rules, rule_for
from services.edge.tracing import Tracing
from services.errors import ApiError, to_status
from services.in_flight import InFlight

REQUEST_ID = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
# Health checks need no token: probes have none, and health is not secret.
_HEALTH = "/grpc.health."
_RETRY_SECONDS = 1.0

Parse = Callable[[bytes], Any]
Write = Callable[[Any], bytes]

log = logging.getLogger(__name__)


class RpcInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Admits RPCs, parses their requests, calls their handlers, and turns exceptions into statuses.

    ApiError becomes its rich status; any other exception becomes INTERNAL and a log line. CancelledError is
    always raised again: a grpc.aio handler that catches it leaks memory. Requests are parsed here, because
    grpc itself reports UNKNOWN for a malformed message. Health checks and reflection are neither counted nor
    limited, so that probes do not distort the error rate. Health checks need no token.
    """

    def __init__(
        self,
        metrics: RpcMetrics,
        in_flight: InFlight,
        access: Access,
        limits: Limits,
        rules: Rules,
        tracing: Tracing | None,
    ) -> None:
        self._metrics = metrics
        self._in_flight = in_flight
        self._access = access
        self._limits = limits
        self._rules = rules
        self._tracing = tracing

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method, parse = handler_call_details.method, handler.request_deserializer
        write = handler.response_serializer
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary, parse, write))
        if iscoroutinefunction(handler.unary_stream):  # Watch of the health service writes to the context
            writing = self._context_stream(method, handler.unary_stream, parse)
            return grpc.unary_stream_rpc_method_handler(writing, response_serializer=write)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream, parse, write)
            )
        if handler.stream_stream:  # reflection
            both = self._stream_stream(method, handler.stream_stream, parse)
            return grpc.stream_stream_rpc_method_handler(both, response_serializer=write)
        raise NotImplementedError(f"{method}: streams of requests are not supported")

    def _unary(
        self, method: str, behaviour: Callable[..., Awaitable[Any]], parse: Parse, write: Write
    ) -> Any:
        async def call(raw: bytes, context: Any) -> bytes:
            async with self._guarded(method, context) as caller:
                return _serialised(await behaviour(self._request(method, caller, raw, parse), context), write)

        return call

    def _stream(
        self, method: str, behaviour: Callable[..., AsyncIterator[Any]], parse: Parse, write: Write
    ) -> Any:
        async def call(raw: bytes, context: Any) -> None:
            async with self._guarded(method, context) as caller:
                request = self._request(method, caller, raw, parse)
                pace = self._limits.pace(caller, rule_for(self._rules, method), request)
                responses: Any = behaviour(request, context)
                async with aclosing(responses):
                    async for response in responses:
                        await _send(context, _serialised(response, write))
                        if pace and (seconds := pace(response)):
                            await asyncio.sleep(seconds)

        return call

    def _context_stream(self, method: str, behaviour: Callable[..., Awaitable[None]], parse: Parse) -> Any:
        async def call(raw: bytes, context: Any) -> None:
            async with self._guarded(method, context):
                await behaviour(_parsed(raw, parse), context)

        return call

    def _stream_stream(self, method: str, behaviour: Callable[..., AsyncIterator[Any]], parse: Parse) -> Any:
        async def parsed(raws: AsyncIterator[bytes]) -> AsyncIterator[Any]:
            async for raw in raws:
                yield _parsed(raw, parse)

        async def call(raws: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
            async with self._guarded(method, context):
                async for response in behaviour(parsed(raws), context):
                    yield response

        return call

    def _request(self, method: str, caller: Caller, raw: bytes, parse: Parse) -> Any:
        request = _parsed(raw, parse)
        self._limits.admit_request(caller, rule_for(self._rules, method), request)
        return request

    @asynccontextmanager
    async def _guarded(self, method: str, context: Any) -> AsyncIterator[Caller]:
        """Checks and observes an RPC from its arrival to its end; yields the caller."""
        began = time.monotonic()
        metadata = dict(context.invocation_metadata() or ())
        request_id = _request_id(metadata)
        task_fields.set({"request_id": request_id})
        is_ours = not method.startswith("/grpc.")
        span = self._tracing.begin_rpc(method, metadata, request_id) if self._tracing and is_ours else None
        caller, code = ANYONE, grpc.StatusCode.OK
        try:
            if is_ours:
                self._in_flight.enter(context)
            if not method.startswith(_HEALTH):
                caller = self._access.identify(metadata, context)
                task_fields.set({"request_id": request_id, "caller": caller.name})
                set_caller(caller)
            if is_ours:
                check_role(caller, method, rule_for(self._rules, method).role)
                self._limits.admit_rpc(caller)
            context.set_trailing_metadata(((REQUEST_ID, request_id),))
            yield caller
        except ApiError as error:
            code = error.code
            log.info(
                "request refused",
                extra={"method": method, "code": code.name, "reason": error.reason, "why": error.message},
            )
            await self._abort(method, context, error, request_id)
        except asyncio.CancelledError:
            remaining = context.time_remaining()
            # A client cancels at its deadline. By this server's clock, the deadline may be a moment later.
            expired = remaining is not None and remaining < 0.05
            code = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.AbortError:  # raised by health
            raise
        except NotImplementedError:  # raised by generated servicers for missing methods
            code = grpc.StatusCode.UNIMPLEMENTED
            why = f"{method} is not implemented by this server"
            await self._abort(method, context, ApiError(code, "NOT_IMPLEMENTED", why), request_id)
        except Exception as error:
            log.error("request failed", extra={"method": method}, exc_info=error)
            failure = _failure(error, request_id)
            code = failure.code
            await self._abort(method, context, failure, request_id)
        except BaseException:  # GeneratorExit and exits of the interpreter
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            if is_ours:
                self._metrics.requests.labels(method, code.name).inc()
                self._metrics.request_seconds.labels(method, code.name).observe(time.monotonic() - began)
            if span and self._tracing:
                self._tracing.end_rpc(span, code, caller.name)

    async def _abort(self, method: str, context: Any, error: ApiError, request_id: str) -> None:
        """Ends an RPC with a rich status. Raises grpc's AbortError."""
        self._metrics.errors.labels(method, error.reason).inc()
        rich = rpc_status.to_status(to_status(error, request_id))
        trailing = (*rich.trailing_metadata, (REQUEST_ID, request_id))
        await context.abort(rich.code, rich.details, trailing)


def _request_id(metadata: Mapping[str, Any]) -> str:
    """Returns the client's request id if it is valid, else a new one."""
    request_id = metadata.get(REQUEST_ID, "")
    valid = isinstance(request_id, str) and _REQUEST_ID.fullmatch(request_id)
    return request_id if valid else uuid.uuid4().hex


def _failure(error: Exception, request_id: str) -> ApiError:
    """Returns the ApiError for an unexpected exception."""
    # Starting a thread needs memory for its stack.
    if isinstance(error, MemoryError) or "can't start new thread" in str(error):
        why = "the server does not have enough memory for this request now; try again later, or request less"
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        return ApiError(code, "OUT_OF_MEMORY", why, retry_seconds=_RETRY_SECONDS)
    why = f"the server failed on this request; see request_id {request_id} in the server's log"
    return ApiError(grpc.StatusCode.INTERNAL, "INTERNAL", why)


async def _send(context: Any, message: bytes) -> None:
    """Sends a message. Raises CancelledError if the client has disconnected.

    In that case grpc raises InternalError and would log the traceback as an error of the server.
    """
    try:
        await context.write(message)
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error


def _serialised(response: Any, write: Write) -> bytes:
    """Serialises a response. A failure means a lack of memory, as sizes were checked before: MemoryError."""
    try:
        return write(response)
    except EncodeError as error:
        raise MemoryError(str(error)) from error


def _parsed(raw: bytes, parse: Parse) -> Any:
    """Parses a request. Raises ApiError, INVALID_ARGUMENT, for malformed bytes."""
    try:
        return parse(raw)
    except DecodeError as error:
        raise ApiError(
            grpc.StatusCode.INVALID_ARGUMENT,
            "MALFORMED_REQUEST",
            f"the request is not a valid message of this method ({error}); use stubs generated from protos/",
        ) from None
