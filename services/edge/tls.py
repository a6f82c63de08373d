"""TLS of a server: its certificate, verification of client certificates, and the names in them."""

import logging
import ssl
from pathlib import Path
from typing import Any

import grpc

from common.settings import EdgeSettings, SettingsError

log = logging.getLogger(__name__)


def server_credentials(settings: EdgeSettings) -> grpc.ServerCredentials | None:
    """Returns credentials that are reread from their files: the next handshake uses a renewed certificate.

    Returns None if no certificate is set. Raises SettingsError if certificate and key do not match.
    """
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None or key is None:
        return None
    files = _Files(cert, key, settings.tls_client_ca)
    first = files.read()
    return grpc.dynamic_ssl_server_credentials(
        first, files.changed, require_client_authentication=settings.tls_client_ca is not None
    )


class _Files:
    """The PEM files, reread when one changes."""

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._stamps = self._read_stamps()

    def read(self) -> Any:
        """Returns grpc's configuration of the files. Raises SettingsError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # grpc accepts any text and fails later, at every handshake. password="": never prompts.
            context.load_cert_chain(self._cert, self._key, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise SettingsError(
                f"CGN_TLS_CERT={self._cert}, CGN_TLS_KEY={self._key}: must be a PEM certificate and the "
                f"private key that belongs to it, without a password ({error})"
            ) from None
        if self._client_ca:
            try:
                context.load_verify_locations(self._client_ca)
            except (ssl.SSLError, OSError) as error:
                raise SettingsError(
                    f"CGN_TLS_CLIENT_CA={self._client_ca}: must hold the PEM certificates that signed the "
                    f"clients' certificates ({error})"
                ) from None
        roots = self._client_ca.read_bytes() if self._client_ca else None
        return grpc.ssl_server_certificate_configuration(
            [(self._key.read_bytes(), self._cert.read_bytes())], roots
        )

    def changed(self) -> Any:
        """Returns the new configuration if a file has changed and all are valid, else None."""
        stamps = self._read_stamps()
        if stamps == self._stamps:
            return None
        self._stamps = stamps
        try:
            configuration = self.read()
        except SettingsError as error:
            log.error("certificate ignored", extra={"error": str(error), "in_use": "the previous one"})
            return None
        log.info("certificate read")
        return configuration

    def _read_stamps(self) -> list[tuple[int, int] | None]:
        stamps: list[tuple[int, int] | None] = []
        for path in filter(None, (self._cert, self._key, self._client_ca)):
            try:
                status = path.stat()
                stamps.append((status.st_ino, status.st_mtime_ns))
            except OSError:
                stamps.append(None)
        return stamps


def certificate_names(context: Any) -> tuple[str, ...]:
    """Returns the names in the client's certificate, the common name first; empty without a certificate."""
    properties = context.auth_context()
    fields = ("x509_common_name", "x509_subject_alternative_name")
    names = [value.decode(errors="replace") for field in fields for value in properties.get(field, ())]
    return tuple(dict.fromkeys(names))
