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
_OPEN = "/grpc.health."
_RETRY_SECONDS = 1.0

Parse = Callable[[bytes], Any]
Write = Callable[[Any], bytes]

log = logging.getLogger(__name__)


class RpcInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Admits RPCs, parses their requests, calls their handlers, and turns exceptions into statuses.

    ApiError becomes its rich status; any other exception becomes INTERNAL and a log line. CancelledError is
    always raised again: an aio handler that swallows it leaks memory in grpc. Requests are parsed here
        because
    grpc would answer UNKNOWN to a malformed message. Health and reflection are neither counted nor limited,
    so that probes do not dilute the error rate; health needs no caller.
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
        if iscoroutinefunction(handler.unary_stream):  # Watch of health writes to the context itself
            writing = self._writing(method, handler.unary_stream, parse)
            return grpc.unary_stream_rpc_method_handler(writing, response_serializer=write)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream, parse, write)
            )
        if handler.stream_stream:  # reflection
            both = self._both(method, handler.stream_stream, parse)
            return grpc.stream_stream_rpc_method_handler(both, response_serializer=write)
        raise NotImplementedError(f"{method}: streams of requests are not supported")

    def _unary(
        self, method: str, behaviour: Callable[..., Awaitable[Any]], parse: Parse, write: Write
    ) -> Any:
        async def call(raw: bytes, context: Any) -> bytes:
            async with self._around(method, context) as caller:
                return _written(await behaviour(self._request(method, caller, raw, parse), context), write)

        return call

    def _stream(
        self, method: str, behaviour: Callable[..., AsyncIterator[Any]], parse: Parse, write: Write
    ) -> Any:
        async def call(raw: bytes, context: Any) -> None:
            async with self._around(method, context) as caller:
                request = self._request(method, caller, raw, parse)
                pace = self._limits.pace(caller, rule_for(self._rules, method), request)
                responses: Any = behaviour(request, context)
                async with aclosing(responses):
                    async for response in responses:
                        await _send(context, _written(response, write))
                        if pace and (seconds := pace(response)):
                            await asyncio.sleep(seconds)

        return call

    def _writing(self, method: str, behaviour: Callable[..., Awaitable[None]], parse: Parse) -> Any:
        async def call(raw: bytes, context: Any) -> None:
            async with self._around(method, context):
                await behaviour(_parsed(raw, parse), context)

        return call

    def _both(self, method: str, behaviour: Callable[..., AsyncIterator[Any]], parse: Parse) -> Any:
        async def parsed(raws: AsyncIterator[bytes]) -> AsyncIterator[Any]:
            async for raw in raws:
                yield _parsed(raw, parse)

        async def call(raws: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:
            async with self._around(method, context):
                async for response in behaviour(parsed(raws), context):
                    yield response

        return call

    def _request(self, method: str, caller: Caller, raw: bytes, parse: Parse) -> Any:
        request = _parsed(raw, parse)
        self._limits.admit_request(caller, rule_for(self._rules, method), request)
        return request

    @asynccontextmanager
    async def _around(self, method: str, context: Any) -> AsyncIterator[Caller]:
        """Surrounds an RPC from its arrival to its end; yields the caller."""
        began = time.monotonic()
        metadata = dict(context.invocation_metadata() or ())
        request_id = _request_id(metadata)
        task_fields.set({"request_id": request_id})
        own = not method.startswith("/grpc.")
        span = self._tracing.begin_rpc(method, metadata, request_id) if self._tracing and own else None
        caller, code = ANYONE, grpc.StatusCode.OK
        try:
            if own:
                self._in_flight.enter(context)
            if not method.startswith(_OPEN):
                caller = self._access.identify(metadata, context)
                task_fields.set({"request_id": request_id, "caller": caller.name})
                set_caller(caller)
            if own:
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
            # A client cancels at its deadline, which may be a moment before this server's clock reaches it.
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
        except BaseException:  # GeneratorExit and the interpreter's own exits
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            if own:
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
    """Returns the ApiError that is sent for any other exception."""
    # Starting a thread needs memory for its stack.
    if isinstance(error, MemoryError) or "can't start new thread" in str(error):
        why = (
            "the server has not enough memory for this request now; try again later, or ask for less at once"
        )
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        return ApiError(code, "OUT_OF_MEMORY", why, retry_seconds=_RETRY_SECONDS)
    why = f"the server failed on this request; its log has the cause under request_id {request_id}"
    return ApiError(grpc.StatusCode.INTERNAL, "INTERNAL", why)


async def _send(context: Any, message: bytes) -> None:
    """Sends a message. Raises CancelledError if the client disconnected meanwhile.

    grpc raises InternalError then, and would log its traceback as an error of the server.
    """
    try:
        await context.write(message)
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error


def _written(response: Any, write: Write) -> bytes:
    """Serialises a response. Raises MemoryError if that fails: sizes have been checked before."""
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
