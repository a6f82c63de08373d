"""Authentication (who is the caller?) and authorisation (does the caller have the RPC's role?)."""

from collections.abc import Mapping
from typing import Any

import grpc

from services.edge.caller import ANYONE, Caller, Role
from services.edge.callers import Callers, Credential
from services.edge.tls import certificate_names
from services.errors import ApiError

_BEARER = "bearer "


class Access:
    """Identifies callers by their token or certificate.

    Args:
        callers: credentials of the tokens file; None: everyone who can connect may call.
        certificates: whether TLS requires client certificates.
    """

    def __init__(self, callers: Callers | None, *, certificates: bool) -> None:
        self._callers = callers
        self._certificates = certificates

    def identify(self, metadata: Mapping[str, Any], context: Any) -> Caller:
        """Returns the caller of an RPC. Raises ApiError, UNAUTHENTICATED, without a valid credential."""
        if self._callers is None:
            names = certificate_names(context) if self._certificates else ()
            return Caller(names[0]) if names else ANYONE
        header = metadata.get("authorization")
        if header is not None:
            if not isinstance(header, str) or not header.lower().startswith(_BEARER):
                raise _unauthenticated("TOKEN_MALFORMED", 'authorization: must be "Bearer " and a token')
            credential = self._callers.by_token(header[len(_BEARER) :].strip())
            if credential is None:
                raise _unauthenticated(
                    "TOKEN_UNKNOWN", "the token is unknown to this server; ask its operator for a new one"
                )
            return _unexpired_caller(credential, "token")
        if self._certificates:
            credential = self._callers.by_certificate(names := certificate_names(context))
            if credential is None:
                shown = ", ".join(names)[:200] or "without a name"
                raise _unauthenticated(
                    "CERTIFICATE_UNKNOWN",
                    f"no entry of the tokens file names this certificate ({shown}); "
                    "ask the operator to add one, or send a token",
                )
            return _unexpired_caller(credential, "certificate")
        raise _unauthenticated(
            "TOKEN_MISSING",
            "this server requires a token: send authorization: Bearer TOKEN, or set CGN_TOKEN",
        )


def _unexpired_caller(credential: Credential, kind: str) -> Caller:
    if credential.expired:
        raise _unauthenticated(
            "CREDENTIAL_EXPIRED",
            f"the {kind} of {credential.caller.name} expired on {credential.expires:%Y-%m-%d %H:%M} UTC; "
            "ask the operator for a new one",
        )
    return credential.caller


def check_role(caller: Caller, method: str, role: Role) -> None:
    """Raises ApiError, PERMISSION_DENIED, if the caller lacks the role that the method needs."""
    if not caller.may(role):
        roles = ", ".join(sorted(caller.roles))
        raise ApiError(
            grpc.StatusCode.PERMISSION_DENIED,
            "ROLE_MISSING",
            f'{method.rpartition("/")[2]} needs the role "{role}", but {caller.name} has only {roles}; '
            "ask the operator of the server for the role",
        )


def _unauthenticated(reason: str, message: str) -> ApiError:
    return ApiError(grpc.StatusCode.UNAUTHENTICATED, reason, message)
