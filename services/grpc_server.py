"""Runs a gRPC server: bind, serve with health and reflection, drain, stop."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from common.metrics import RpcMetrics, serve_metrics
from common.settings import EdgeSettings
from services.edge.access import Access
from services.edge.callers import Callers
from services.edge.interceptor import RpcInterceptor
from services.edge.limits import Limits
from services.edge.rules import Rules
from services.edge.tls import server_credentials
from services.edge.tracing import Tracing
from services.in_flight import InFlight
from services.limits import MAX_MESSAGE_BYTES

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # else a second server could share the port unnoticed
    # A client whose machine or network is lost is noticed within 80 s. Its streams, such as WatchJob, end
    # then.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Clients may send keepalive pings every 30 s, also between calls. grpc's default is one per 5 minutes,
    # and it closes the connections of clients that ping more often.
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Load balancers distribute connections, not RPCs: a client that never reconnects never reaches a new
    # server. There is no grace limit, because a stream of this API may last for hours; the connection closes
    # after it.
    ("grpc.max_connection_age_ms", 1_800_000),
)

log = logging.getLogger(__name__)


class Readiness:
    """A server's health: SERVING or NOT_SERVING, for "" and each of its services."""

    def __init__(self, servicer: Any, names: Sequence[str]) -> None:
        self._servicer = servicer
        self._names = ("", *names)

    async def set(self, ready: bool) -> None:
        """Reports all services as SERVING (True) or NOT_SERVING (False); no effect while draining."""
        states = health_pb2.HealthCheckResponse
        for name in self._names:
            await self._servicer.set(name, states.SERVING if ready else states.NOT_SERVING)


def _cannot_bind(name: str, variable: str, host: str, port: int) -> SystemExit:
    return SystemExit(
        f"error: {name} cannot listen on {host}:{port}: port in use, or not this machine's address; "
        f"stop the process that listens there, or set {variable} (port) or CGN_HOST (address)"
    )


def _check_free(name: str, variable: str, host: str, port: int) -> None:
    """Raises SystemExit if the port cannot be bound. grpc would log several lines of noise first."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError:
        raise _cannot_bind(name, variable, host, port) from None


def _interceptor(
    edge: EdgeSettings, rules: Rules, metrics: RpcMetrics, in_flight: InFlight, tracing: Tracing | None
) -> RpcInterceptor:
    """Raises SettingsError."""
    certificates = edge.tls_client_ca is not None
    callers = None
    if edge.tokens_file:
        callers = Callers(edge.tokens_file, certificates=certificates, on_fault=metrics.tokens_file_fault.set)
    access = Access(callers, certificates=certificates)
    return RpcInterceptor(metrics, in_flight, access, Limits(edge), rules, tracing)


def _report_insecurity(edge: EdgeSettings, metrics: RpcMetrics) -> None:
    """Reports in the log and a metric which protection CGN_INSECURE switches off."""
    for protection in ("tls", "callers"):
        metrics.insecure.labels(protection).set(protection in edge.missing)
    if edge.missing:
        log.warning(
            "open to other machines because CGN_INSECURE=1; docs/security.md shows how to protect the server",
            extra={"missing": ", ".join(edge.missing)},
        )


async def serve(
    *,
    name: str,
    add_services: Callable[[grpc.aio.Server], Sequence[str]],
    rules: Rules,
    edge: EdgeSettings,
    port: int,
    metrics_port: int,
    run: Callable[[Readiness], Awaitable[None]] | None = None,
    draining: asyncio.Event | None = None,
    tracing: Tracing | None = None,
    grace_seconds: float = 10.0,
) -> None:
    """Serves until SIGTERM or SIGINT. Then drains: NOT_SERVING, no new RPCs, `grace_seconds` for the others.

    name: name of the process, as in CGN_<NAME>_PORT. add_services: adds the servicers, returns the full
        service names.
    rules: role and counted images of each RPC of those services; an RPC without a rule needs "admin".
    run: a coroutine that runs beside the server (a watcher, a sweeper) and sets its Readiness; without it the
    server is ready at once. If it raises, the server stops and the exception is raised. draining: set when
    draining begins, to end RPCs that have no end of their own. tracing: None if traces are off. Raises
    SystemExit with a one-line message if a port is taken, SettingsError for certificates or a tokens file
    that cannot be used.
    """
    host = edge.host
    port_variable = f"CGN_{name.upper()}_PORT"
    metrics_variable = f"CGN_{name.upper()}_METRICS_PORT"
    metrics = RpcMetrics()
    credentials = server_credentials(edge)
    in_flight = InFlight()
    interceptor = _interceptor(edge, rules, metrics, in_flight, tracing)
    _check_free(name, port_variable, host, port)
    try:
        serve_metrics(host, metrics_port)
    except OSError:
        raise _cannot_bind(f"{name} metrics", metrics_variable, host, metrics_port) from None
    server = grpc.aio.server(interceptors=[interceptor], options=_OPTIONS)
    try:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if credentials:
            server.add_secure_port(address, credentials)
        else:
            server.add_insecure_port(address)
    except RuntimeError:
        raise _cannot_bind(name, port_variable, host, port) from None

    names = add_services(server)
    health_servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    readiness = Readiness(health_servicer, names)
    await readiness.set(run is None)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    await server.start()
    log.info("listening", extra={"address": f"{host}:{port}", "metrics": f"{host}:{metrics_port}"})
    _report_insecurity(edge, metrics)

    companion = asyncio.ensure_future(run(readiness)) if run else None
    if companion:
        companion.add_done_callback(lambda _: stop.set())
    await stop.wait()

    log.info("draining", extra={"grace_seconds": grace_seconds})
    await health_servicer.enter_graceful_shutdown()
    if draining:
        draining.set()
    await in_flight.drain(grace_seconds)
    await server.stop(0)
    if companion:
        if not companion.done():
            companion.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await companion
    if tracing:
        await asyncio.to_thread(tracing.close)
    log.info("stopped")
