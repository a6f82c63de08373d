"""The caller of an RPC and the caller's roles.

A handler gets its caller from `caller()`. This works in the RPC's task, and in tasks and threads to which its
context is copied (asyncio.create_task, asyncio.to_thread; not run_in_executor):

    quota.check(caller().name)
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

# The roles that a tokens file can grant. All servers read the same file, so the list is shared.
Role = Literal["generate", "train", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Caller:
    """An identity from the tokens file or from a client certificate.

    Attributes:
        name: unique; it stays the same when the caller's token is renewed.
        roles: roles of the caller; "admin" includes every role.
        rpcs_per_second, images_per_second, images_per_request: limits of this caller; None: the server's
            limit applies; 0: no limit.
    """

    name: str
    roles: frozenset[Role] = frozenset(ROLES)
    rpcs_per_second: int | None = None
    images_per_second: int | None = None
    images_per_request: int | None = None

    def may(self, role: Role) -> bool:
        """Returns whether the caller has a role."""
        return role in self.roles or "admin" in self.roles


# The caller of every RPC on a server that does not identify callers. Its limits are shared by all clients.
ANYONE = Caller("anyone")

_caller: ContextVar[Caller] = ContextVar("caller", default=ANYONE)


def caller() -> Caller:
    """Returns the caller of the current RPC; ANYONE if the server does not identify callers."""
    return _caller.get()


def set_caller(who: Caller) -> None:
    """Sets the caller for the rest of this task. For the interceptor, and for tests of handlers."""
    _caller.set(who)
