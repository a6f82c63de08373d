"""OpenTelemetry traces: a span per RPC and a span per forward pass. Off, nothing of it is imported here.

CGN_TRACES=1 needs requirements-traces.txt. Where traces go and how many are kept is said by the standard
variables, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER and their kin.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

import grpc

from common.settings import SettingsError


class Tracing:
    """Makes spans and sends them.

    Args:
        service: name of the role, such as "generator"; the resource is "cgn-" and this.

    Raises:
        SettingsError: the packages of requirements-traces.txt are missing.
    """

    def __init__(self, service: str) -> None:
        try:
            from opentelemetry import context, propagate, trace
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise SettingsError(
                f"CGN_TRACES=1: {error.name} is not installed: pip install -r requirements-traces.txt, "
                "or unset CGN_TRACES"
            ) from None
        self._context, self._propagate, self._trace = context, propagate, trace
        # OTEL_SERVICE_NAME, where set, comes before our name.
        name = os.environ.get("OTEL_SERVICE_NAME") or f"cgn-{service}"
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": name}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("cgn")

    def begin_rpc(self, method: str, metadata: Mapping[str, Any], request_id: str) -> Any:
        """A span for an RPC, below the client's of a `traceparent`; what this task starts is below it."""
        parent = self._propagate.extract({k: v for k, v in metadata.items() if isinstance(v, str)})
        service, _, name = method.removeprefix("/").rpartition("/")
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": service,
            "rpc.method": name,
            "cgn.request_id": request_id,
        }
        kind = self._trace.SpanKind.SERVER
        span = self._tracer.start_span(f"{service}/{name}", parent, kind=kind, attributes=attributes)
        # Never detached: the task ends with the RPC, and a stream may be closed from another one.
        self._context.attach(self._trace.set_span_in_context(span))
        return span

    def end_rpc(self, span: Any, code: grpc.StatusCode, caller: str) -> None:
        """Ends the span of an RPC."""
        span.set_attribute("rpc.grpc.status_code", code.value[0])
        span.set_attribute("enduser.id", caller)
        if code is not grpc.StatusCode.OK:
            span.set_status(self._trace.StatusCode.ERROR, code.name)
        span.end()

    def add_batch(self, model: str, mechanism: str, rows: int, closed_by: str, seconds: float) -> None:
        """A span for a forward pass of `seconds` that has just ended. May be called from any thread.

        It stands alone, not below an RPC: the rows of a batch are those of many.
        """
        now = time.time_ns()
        attributes: dict[str, str | int] = {
            "cgn.model": model,
            "cgn.mechanism": mechanism,
            "cgn.rows": rows,
            "cgn.closed_by": closed_by,
        }
        root = self._context.Context()
        span = self._tracer.start_span(
            f"batch {mechanism}", root, attributes=attributes, start_time=now - round(seconds * 1e9)
        )
        span.end(now)

    def close(self) -> None:
        """Sends what is left, unless that takes longer than a moment."""
        self._provider.force_flush(2_000)
