"""The life of a gRPC server: bind, serve with health and reflection, drain, stop."""

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

MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # grpc's own default for receivers, so every stock client can read us

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # else a second server would share the port unseen
    # A client that vanished without a word (a machine lost, a cable cut) is noticed within 80 s, and what it
    # holds, such as a watched job, is let go.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Clients may look for us as often, also between calls; grpc's own limit is once in 5 minutes, and it
    # ends the connection of those who ask more often.
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Balancers spread connections, not RPCs: a client that stays on one for ever never meets a new server.
    # Without a grace, as a stream of this API may rightly last for hours; it ends its connection with itself.
    ("grpc.max_connection_age_ms", 1_800_000),
)

log = logging.getLogger(__name__)


class Readiness:
    """What a server's health says: SERVING or NOT_SERVING, for "" and each of its services."""

    def __init__(self, servicer: Any, names: Sequence[str]) -> None:
        self._servicer = servicer
        self._names = ("", *names)

    async def set(self, ready: bool) -> None:
        """Shows all services as SERVING (True) or NOT_SERVING (False); no effect once draining."""
        states = health_pb2.HealthCheckResponse
        for name in self._names:
            await self._servicer.set(name, states.SERVING if ready else states.NOT_SERVING)


def _cannot_bind(name: str, variable: str, host: str, port: int) -> SystemExit:
    return SystemExit(
        f"error: {name} cannot listen on {host}:{port}: it is in use or not this machine's address; "
        f"stop what listens there, or set {variable} (port) or CGN_HOST (address)"
    )


def _check_free(name: str, variable: str, host: str, port: int) -> None:
    """Raises SystemExit if the port cannot be bound; asked of the system first, as grpc logs noise."""
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


def _say_how_open(edge: EdgeSettings, metrics: RpcMetrics) -> None:
    """Shows what CGN_INSECURE lets through."""
    for what in ("tls", "callers"):
        metrics.insecure.labels(what).set(what in edge.missing)
    if edge.missing:
        log.warning(
            "open to other machines, as CGN_INSECURE says; docs/security.md shows how to close it",
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
    """Serves until SIGTERM or SIGINT, then drains: NOT_SERVING, no new RPCs, `grace_seconds` for the rest.

    name: role, as in CGN_<NAME>_PORT. add_services: adds the servicers, returns the full service names.
    rules: role and counted images of each RPC of those services; an RPC without a rule needs "admin".
    run: a coroutine that lives beside the server (a watcher, a sweeper) and says by its Readiness when
    the server is ready; without one the server is ready at once. If it ends by an exception, the server
    stops and the exception is raised. draining: set when draining begins, for RPCs that would not end by
    themselves. tracing: None if traces are off. Raises SystemExit with a one-line message if a port is taken,
    SettingsError for certificates or a tokens file that cannot be used.
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
    _say_how_open(edge, metrics)

    beside = asyncio.ensure_future(run(readiness)) if run else None
    if beside:
        beside.add_done_callback(lambda _: stop.set())
    await stop.wait()

    log.info("draining", extra={"grace_seconds": grace_seconds})
    await health_servicer.enter_graceful_shutdown()
    if draining:
        draining.set()
    await in_flight.drain(grace_seconds)
    await server.stop(0)
    if beside:
        if not beside.done():
            beside.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beside
    if tracing:
        await asyncio.to_thread(tracing.close)
    log.info("stopped")
