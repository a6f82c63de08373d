"""Who makes an RPC, and what they may do.

A handler asks by `caller()`, in its own task or in anything that has copied its context
(asyncio.create_task, asyncio.to_thread; not run_in_executor):

    quota.check(caller().name)
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal["generate", "train", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Caller:
    """An identity of the tokens file, or of a client's certificate.

    Attributes:
        name: unique, stays the same when the caller's token is renewed.
        roles: what they may do; "admin" may do everything.
        rpcs_per_second, images_per_second, images_per_request: limits of this caller instead of the
            server's; None: the server's, 0: none.
    """

    name: str
    roles: frozenset[Role] = frozenset(ROLES)
    rpcs_per_second: int | None = None
    images_per_second: int | None = None
    images_per_request: int | None = None

    def may(self, role: Role) -> bool:
        """Whether they may call what needs a role."""
        return role in self.roles or "admin" in self.roles


# Everybody, where the server asks nobody who they are. All of them count as one caller.
ANYONE = Caller("anyone")

_caller: ContextVar[Caller] = ContextVar("caller", default=ANYONE)


def caller() -> Caller:
    """The caller of the RPC that this code runs for; ANYONE where callers are not asked who they are."""
    return _caller.get()


def set_caller(who: Caller) -> None:
    """Says who the caller is, for the rest of this task. For the interceptor, and for tests of handlers."""
    _caller.set(who)
