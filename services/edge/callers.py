"""The tokens file: who may call, by the hash of a token or by the name in a client's certificate.

TOML, one table per credential; a caller has several while a token is being replaced:

    [[caller]]
    name = "lab"
    roles = ["generate", "train"]
    token_sha256 = "9f86d081..."      # of the token; `make token` makes both
    expires = 2027-06-30              # or a date and time; left out: never
    images_per_second = 5000          # limits of this caller instead of the server's

    [[caller]]
    name = "gateway"
    roles = ["generate"]
    certificate = "gateway.example"   # common name, or one of the alternative names

A changed file is read at the next RPC. One with a fault changes nothing but the log and a metric.
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
    """One way in: a token's hash or a certificate's name, whose it is, and when it ends to be good."""

    caller: Caller
    token_hash: bytes  # SHA-256; empty of a certificate
    certificate: str  # empty of a token
    expires: datetime | None

    @property
    def expired(self) -> bool:
        return self.expires is not None and datetime.now(UTC) >= self.expires


def token_hash(token: str) -> bytes:
    """What the file holds of a token. Tokens are long and random, so a fast hash keeps them."""
    return hashlib.sha256(token.encode()).digest()


class Callers:
    """The credentials of a file, as it is now.

    Args:
        path: the file.
        certificates: whether clients show certificates.
        on_fault: told True when a changed file cannot be used, False when one can again.

    Raises:
        SettingsError: the file has a fault when the server starts.
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
        """The credential of a token. Takes as long for one that nearly fits as for one that does not."""
        self._refresh()
        presented, found = token_hash(token), None
        for credential in self._credentials:
            if hmac.compare_digest(presented, credential.token_hash):
                found = credential
        return found

    def by_certificate(self, names: Collection[str]) -> Credential | None:
        """The credential of a certificate that the TLS handshake has proved; the first that is good."""
        self._refresh()
        fitting = [c for c in self._credentials if c.certificate and c.certificate in names]
        return next((c for c in fitting if not c.expired), fitting[0] if fitting else None)

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _refresh(self) -> None:
        """Reads the file again if it has changed since."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._credentials = self._read()
        except SettingsError as error:
            self._on_fault(True)
            log.error("tokens file not taken", extra={"error": str(error), "in_use": "the one before"})
            return
        self._on_fault(False)
        log.info("tokens file read", extra={"credentials": len(self._credentials)})

    def _read(self) -> list[Credential]:
        try:
            entries = tomllib.loads(self._path.read_text())
        except (OSError, ValueError) as error:
            raise self._fault(f"{error}; mend the file, `make token` shows an entry") from None
        callers = entries.pop("caller", [])
        if entries or not isinstance(callers, list) or not callers:
            raise self._fault("must hold [[caller]] tables, at least one, and nothing else")
        credentials = [self._credential(number, entry) for number, entry in enumerate(callers, start=1)]
        hashes = [c.token_hash for c in credentials if c.token_hash]
        if len(set(hashes)) < len(hashes):
            raise self._fault("two callers have the same token; give each its own")
        return credentials

    def _credential(self, number: int, entry: Any) -> Credential:
        def bad(field: str, cure: str) -> SettingsError:
            return self._fault(f"caller {number}: {field}: {cure}")

        if not isinstance(entry, dict):
            raise self._fault("must hold [[caller]] tables, at least one, and nothing else")
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
            raise bad("token_sha256", "give either this or certificate")
        if digest and not (isinstance(digest, str) and _HASH.fullmatch(digest)):
            raise bad(
                "token_sha256", "must be 64 hexadecimal digits; `make token` makes a token and its hash"
            )
        if certificate and not isinstance(certificate, str):
            raise bad("certificate", "must be a name as the certificate states it")
        if certificate and not self._certificates:
            raise bad("certificate", "clients show none: set CGN_TLS_CLIENT_CA, or give token_sha256")
        limits = {limit: entry.get(limit) for limit in _LIMITS}
        for limit, value in limits.items():
            if value is not None and (type(value) is not int or value < 0):
                raise bad(limit, "must be a whole number, 0 for no limit")
        caller = Caller(name, frozenset(roles), **limits)
        return Credential(caller, bytes.fromhex(digest), certificate, _expiry(entry.get("expires"), bad))

    def _fault(self, what: str) -> SettingsError:
        return SettingsError(f"CGN_TOKENS_FILE={self._path}: {' '.join(what.split())}")


def _expiry(value: Any, bad: Callable[[str, str], SettingsError]) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    if value is not None:
        raise bad("expires", "must be a date such as 2027-06-30, without quotes; the token ends as it begins")
    return None
