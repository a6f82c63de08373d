"""Channels to a server: with or without TLS, a token, a client certificate.

Arguments that are None come from the environment: CGN_TOKEN, CGN_TLS (1 or 0), CGN_TLS_CA,
CGN_TLS_CLIENT_CERT, CGN_TLS_CLIENT_KEY, CGN_TLS_SERVER_NAME, CGN_INSECURE (1: a token may go to another
machine without TLS).
"""

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import grpc

from cgn_client.errors import bad_value

_OPTIONS = (
    # During a call, a lost server is noticed within 80 s. Servers allow one keepalive ping per 30 s.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


@dataclass(frozen=True)
class Tls:
    """Settings of a TLS connection. Files are PEM.

    Attributes:
        ca: file of certificates to trust; None: grpc's default root certificates.
        cert, key: files of the client's certificate and its private key, for servers that require one.
        server_name: name to expect in the server's certificate; None: the host of the address.
    """

    ca: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None
    server_name: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self | None:
        """Returns the TLS settings of the environment; None: no TLS. Raises CgnError."""
        flag = env.get("CGN_TLS") or ""
        values = [
            env.get(name) or None
            for name in ("CGN_TLS_CA", "CGN_TLS_CLIENT_CERT", "CGN_TLS_CLIENT_KEY", "CGN_TLS_SERVER_NAME")
        ]
        if flag not in ("", "0", "1"):
            raise bad_value("CGN_TLS", f"must be 1 or 0, is {flag!r}")
        if flag == "0" or not (flag or any(values)):
            return None
        return cls(*values)

    def credentials(self) -> grpc.ChannelCredentials:
        """Returns grpc's credentials. Raises CgnError for files that cannot be used."""
        if bool(self.cert) != bool(self.key):
            present, absent = ("cert", "key") if self.cert else ("key", "cert")
            raise bad_value(f"tls.{present}", f"is given without tls.{absent}; give both or neither")
        ca, key, cert = (
            _pem(f"tls.{name}", value)
            for name, value in (("ca", self.ca), ("key", self.key), ("cert", self.cert))
        )
        return grpc.ssl_channel_credentials(ca, key, cert)


def open_channel(
    address: str, token: str | None = None, tls: Tls | bool | None = None, env: Mapping[str, str] = os.environ
) -> grpc.Channel:
    """Opens a channel to host:port.

    Args:
        token: None: the token of the environment; empty: no token.
        tls: None: the settings of the environment; True: Tls(); False: no TLS.

    Raises:
        CgnError: a malformed address or token, or a token that would be sent to another machine without TLS.
    """
    if not isinstance(address, str) or not address or "://" in address:
        raise bad_value("address", f"must be HOST:PORT, such as 127.0.0.1:50051, is {address!r:.80}")
    field, text = ("CGN_TOKEN", env.get("CGN_TOKEN")) if token is None else ("token", token)
    token = (text or "").strip()
    if tls is None:
        tls = Tls.from_env(env)
    elif tls is True:
        tls = Tls()
    if token and (not token.isascii() or not token.isprintable() or " " in token):
        raise bad_value(field, "must be printable ASCII without spaces, as printed by `make token`")
    if token and not tls and not _is_local(address) and env.get("CGN_INSECURE") != "1":
        raise bad_value(
            field,
            f"would be sent to {address} unencrypted; give tls (CGN_TLS_CA), or set "
            "CGN_INSECURE=1 to allow it",
        )
    if tls:
        name_option = (("grpc.ssl_target_name_override", tls.server_name),) if tls.server_name else ()
        channel = grpc.secure_channel(address, tls.credentials(), (*_OPTIONS, *name_option))
    else:
        channel = grpc.insecure_channel(address, _OPTIONS)
    return grpc.intercept_channel(channel, _Bearer(token)) if token else channel


class _Details(NamedTuple):
    """The attributes that grpc expects of call details; grpc offers no class to construct."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[type-arg]
    """Sends the token with every call. It replaces grpc's call credentials, which require TLS."""

    def __init__(self, token: str) -> None:
        self._header = ("authorization", f"Bearer {token}")

    def _with_token(self, details: Any) -> _Details:
        metadata = (*(details.metadata or ()), self._header)
        return _Details(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(self._with_token(details), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(self._with_token(details), request)


def _pem(field: str, path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        data = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise bad_value(field, f"{path}: {error.strerror}; name a readable file") from None
    if b"-----BEGIN " not in data:
        raise bad_value(field, f"{path}: is not PEM, which begins with -----BEGIN")
    return data


def _is_local(address: str) -> bool:
    host = urlsplit(f"//{address}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or address.startswith("unix:")
