"""The tokens file: callers, each identified by the hash of a token or the name in a client certificate.

TOML, one table per credential. A caller has two credentials while a token is being replaced:

    [[caller]]
    name = "lab"
    roles = ["generate", "train"]
    token_sha256 = "9f86d081..."      # SHA-256 of the token; `make token` creates both
    expires = 2027-06-30              # or a date and time; omitted: never
    images_per_second = 5000          # replaces the server's limit for this caller

    [[caller]]
    name = "gateway"
    roles = ["generate"]
    certificate = "gateway.example"   # common name or an alternative name

A changed file is read at the next RPC. An invalid file is ignored: the previous credentials stay in use, and
the log and a metric report the error.
"""

import hashlib
import hmac
import logging
import re
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from common.settings import SettingsError
from services.edge.caller import ROLES, Caller

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_LIMITS = ("rpcs_per_second", "images_per_second", "images_per_request")
_KNOWN = {"name", "roles", "token_sha256", "certificate", "expires", *_LIMITS}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Credential:
    """A credential (token hash or certificate name), its owner and its expiry."""

    caller: Caller
    token_hash: bytes  # SHA-256; empty for a certificate
    certificate: str  # empty for a token
    expires: datetime | None

    @property
    def expired(self) -> bool:
        return self.expires is not None and datetime.now(UTC) >= self.expires


def token_hash(token: str) -> bytes:
    """Returns the SHA-256 of a token. Tokens are long and random, so a fast hash is safe."""
    return hashlib.sha256(token.encode()).digest()


class Callers:
    """The credentials of the tokens file, reread when it changes.

    Args:
        path: the file.
        certificates: whether TLS requires client certificates.
        on_fault: called with True when a changed file is invalid, with False when it is valid again.

    Raises:
        SettingsError: the file is invalid when the server starts.
    """

    def __init__(
        self, path: Path, *, certificates: bool, on_fault: Callable[[bool], None] = lambda fault: None
    ) -> None:
        self._path = path
        self._certificates = certificates
        self._on_fault = on_fault
        self._stamp = self._read_stamp()
        self._credentials = self._read()

    def by_token(self, token: str) -> Credential | None:
        """Returns the credential of a token, or None. Compares in constant time, against timing attacks."""
        self._refresh()
        presented, match = token_hash(token), None
        for credential in self._credentials:
            if hmac.compare_digest(presented, credential.token_hash):
                match = credential
        return match

    def by_certificate(self, names: Collection[str]) -> Credential | None:
        """Returns the credential of a verified certificate, if possible an unexpired one; else None."""
        self._refresh()
        matches = [c for c in self._credentials if c.certificate and c.certificate in names]
        return next((c for c in matches if not c.expired), matches[0] if matches else None)

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _refresh(self) -> None:
        """Rereads the file if it has changed."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._credentials = self._read()
        except SettingsError as error:
            self._on_fault(True)
            log.error("tokens file ignored", extra={"error": str(error), "in_use": "the previous one"})
            return
        self._on_fault(False)
        log.info("tokens file read", extra={"credentials": len(self._credentials)})

    def _read(self) -> list[Credential]:
        try:
            entries = tomllib.loads(self._path.read_text())
        except (OSError, ValueError) as error:
            raise self._fault(f"{error}; correct the file; `make token` prints an example entry") from None
        callers = entries.pop("caller", [])
        if entries or not isinstance(callers, list) or not callers:
            raise self._fault("must contain at least one [[caller]] table, and nothing else")
        credentials = [self._credential(number, entry) for number, entry in enumerate(callers, start=1)]
        hashes = [c.token_hash for c in credentials if c.token_hash]
        if len(set(hashes)) < len(hashes):
            raise self._fault("two entries have the same token; create one token per entry")
        return credentials

    def _credential(self, number: int, entry: Any) -> Credential:
        def bad(field: str, cure: str) -> SettingsError:
            return self._fault(f"caller {number}: {field}: {cure}")

        if not isinstance(entry, dict):
            raise self._fault("must contain at least one [[caller]] table, and nothing else")
        if unknown := entry.keys() - _KNOWN:
            raise bad(min(unknown), f"is unknown; use {', '.join(sorted(_KNOWN))}")
        name = entry.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad("name", "must be 1 to 64 of A-Z, a-z, 0-9, . _ @ -, beginning with a letter or digit")
        roles = entry.get("roles")
        if not isinstance(roles, list) or not roles or not all(role in ROLES for role in roles):
            raise bad("roles", f"must be a list of at least one of {', '.join(ROLES)}")
        digest, certificate = entry.get("token_sha256", ""), entry.get("certificate", "")
        if bool(digest) == bool(certificate):
            raise bad("token_sha256", "give exactly one of token_sha256 and certificate")
        if digest and not (isinstance(digest, str) and _HASH.fullmatch(digest)):
            raise bad(
                "token_sha256", "must be 64 hexadecimal digits; `make token` creates a token and its hash"
            )
        if certificate and not isinstance(certificate, str):
            raise bad("certificate", "must be a name in the certificate, as text")
        if certificate and not self._certificates:
            raise bad(
                "certificate",
                "this server asks for no client certificate: set CGN_TLS_CLIENT_CA, or give token_sha256",
            )
        limits = {limit: entry.get(limit) for limit in _LIMITS}
        for limit, value in limits.items():
            if value is not None and (type(value) is not int or value < 0):
                raise bad(limit, "must be an integer of 0 or more; 0: no limit")
        caller = Caller(name, frozenset(roles), **limits)
        return Credential(caller, bytes.fromhex(digest), certificate, _expiry(entry.get("expires"), bad))

    def _fault(self, problem: str) -> SettingsError:
        return SettingsError(f"CGN_TOKENS_FILE={self._path}: {' '.join(problem.split())}")


def _expiry(value: Any, bad: Callable[[str, str], SettingsError]) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    if value is not None:
        raise bad(
            "expires",
            "must be a date such as 2027-06-30, without quotes; the token expires when that day begins, UTC",
        )
    return None
