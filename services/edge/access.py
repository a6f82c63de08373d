"""Who calls, and whether they may: the role that each RPC needs, and the proof that callers bring."""

from collections.abc import Mapping
from typing import Any

import grpc

from services.edge.caller import ANYONE, Caller, Role
from services.edge.callers import Callers, Credential
from services.edge.tls import certificate_names
from services.errors import ApiError

# What an RPC needs that is not named here is "admin", so that a new one is closed until somebody says who
# may call it.
_GENERATE = ("Generate", "Interpolate", "GenerateProduct", "Sample", "ListModels", "GetModel")
_TRAIN = (
    *("SubmitJob", "GetJob", "ListJobs", "WatchJob", "CancelJob"),
    *("ResumeJob", "RetryJob", "DeleteJob", "GetArtifact"),
)
_ROLES: dict[str, Role] = {
    **{f"/cgn_api.v1.GeneratorService/{name}": "generate" for name in _GENERATE},
    **{f"/cgn_api.v1.TrainerService/{name}": "train" for name in _TRAIN},
}
_BEARER = "bearer "


def role_of(method: str) -> Role:
    """The role that an RPC needs, by its full method name."""
    return _ROLES.get(method, "admin")


class Access:
    """Finds out who calls.

    Args:
        callers: of the tokens file; None: everybody may call who gets through.
        certificates: whether clients have to show certificates.
    """

    def __init__(self, callers: Callers | None, *, certificates: bool) -> None:
        self._callers = callers
        self._certificates = certificates

    def identify(self, metadata: Mapping[str, Any], context: Any) -> Caller:
        """The caller of an RPC. Raises ApiError, UNAUTHENTICATED, for one who is not known."""
        if self._callers is None:
            names = certificate_names(context) if self._certificates else ()
            return Caller(names[0]) if names else ANYONE
        header = metadata.get("authorization")
        if header is not None:
            if not isinstance(header, str) or not header.lower().startswith(_BEARER):
                raise _unknown("TOKEN_MALFORMED", 'authorization: must be "Bearer " and a token')
            credential = self._callers.by_token(header[len(_BEARER) :].strip())
            if credential is None:
                raise _unknown("TOKEN_UNKNOWN", "the token is not known to this server; ask for a new one")
            return _good(credential, "the token")
        if self._certificates:
            credential = self._callers.by_certificate(names := certificate_names(context))
            if credential is None:
                shown = ", ".join(names)[:200] or "without a name"
                raise _unknown(
                    "CERTIFICATE_UNKNOWN",
                    f"no caller has this certificate ({shown}); have it entered, or send a token",
                )
            return _good(credential, "the certificate")
        raise _unknown(
            "TOKEN_MISSING",
            "this server asks for a token: send authorization: Bearer TOKEN, or set CGN_TOKEN",
        )


def _good(credential: Credential, what: str) -> Caller:
    if credential.expired:
        raise _unknown(
            "CREDENTIAL_EXPIRED",
            f"{what} of {credential.caller.name} ended on {credential.expires:%Y-%m-%d %H:%M} UTC; "
            "ask for a new one",
        )
    return credential.caller


def check_role(caller: Caller, method: str) -> None:
    """Raises ApiError, PERMISSION_DENIED, if the caller may not call the method."""
    role = role_of(method)
    if not caller.may(role):
        has = ", ".join(sorted(caller.roles))
        raise ApiError(
            grpc.StatusCode.PERMISSION_DENIED,
            "ROLE_MISSING",
            f'{method.rpartition("/")[2]} needs the role "{role}", and {caller.name} has {has}; '
            "ask whoever runs the server for it",
        )


def _unknown(reason: str, message: str) -> ApiError:
    return ApiError(grpc.StatusCode.UNAUTHENTICATED, reason, message)
