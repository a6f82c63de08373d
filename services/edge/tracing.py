"""OpenTelemetry traces: one span per RPC, and spans of work that serves several RPCs.

CGN_TRACES=1 needs requirements-traces.txt. The standard OTEL_ variables set the destination and the sampling,
such as OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_TRACES_SAMPLER. Without CGN_TRACES this module imports no
OpenTelemetry package.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

import grpc

from common.settings import SettingsError


class Tracing:
    """Creates spans and exports them.

    Args:
        service: name of the process, such as "generator"; the traces' service.name is "cgn-" + service.

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
        # OTEL_SERVICE_NAME, if set, replaces the default name.
        name = os.environ.get("OTEL_SERVICE_NAME") or f"cgn-{service}"
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": name}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("cgn")

    def begin_rpc(self, method: str, metadata: Mapping[str, Any], request_id: str) -> Any:
        """Starts the span of an RPC and makes it the current span of this task.

        Its parent is the client's span, if the metadata has a `traceparent`.
        """
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
        # Never detached: the task ends with the RPC, and another task may close a stream.
        self._context.attach(self._trace.set_span_in_context(span))
        return span

    def end_rpc(self, span: Any, code: grpc.StatusCode, caller: str) -> None:
        """Ends the span of an RPC, with its status and its caller's name."""
        span.set_attribute("rpc.grpc.status_code", code.value[0])
        span.set_attribute("enduser.id", caller)
        if code is not grpc.StatusCode.OK:
            span.set_status(self._trace.StatusCode.ERROR, code.name)
        span.end()

    def add_span(self, name: str, seconds: float, attributes: Mapping[str, str | int]) -> None:
        """Adds a span for work of `seconds` that has just ended. May be called from any thread.

        The span has no parent: the work, such as a batch, may serve several RPCs.
        """
        now = time.time_ns()
        root = self._context.Context()
        started = now - round(seconds * 1e9)
        span = self._tracer.start_span(name, root, attributes=attributes, start_time=started)
        span.end(now)

    def close(self) -> None:
        """Exports the remaining spans; gives up after 2 s."""
        self._provider.force_flush(2_000)
