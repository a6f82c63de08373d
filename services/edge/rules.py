"""Rules of RPCs: the role that each one needs, and how its images are counted. Each service declares its own.

RULES = service_rules("cgn_api.v1.TrainerService", {"GetJob": RpcRule("train")})
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.edge.caller import Role


@dataclass(frozen=True)
class ImagesRequested:
    """Counts the images of a request that is answered as a whole.

    Attributes:
        field: field of the request that determines the number of images; errors name it.
        count: returns the number of images that a request asks for, counting each output.
    """

    field: str
    count: Callable[[Any], int]


@dataclass(frozen=True)
class RpcRule:
    """The role that an RPC needs, and how its images are counted.

    Attributes:
        role: role that the caller must have.
        images_requested: counts a request before it is answered; None: the request asks for no images, or
            its number of images is not known in advance.
        images_sent: for a stream of unknown length: images in one response, given (request, response).
    """

    role: Role = "admin"
    images_requested: ImagesRequested | None = None
    images_sent: Callable[[Any, Any], int] | None = None


# Rules by full method name, such as "/cgn_api.v1.TrainerService/GetJob".
Rules = Mapping[str, RpcRule]

_UNDECLARED = RpcRule()


def service_rules(service: str, rules: Mapping[str, RpcRule]) -> Rules:
    """Returns rules by full method name, from a service's full name and its rules by RPC name."""
    return {f"/{service}/{rpc}": rule for rpc, rule in rules.items()}


def rule_for(rules: Rules, method: str) -> RpcRule:
    """Returns the rule of a method. An RPC without a rule needs "admin": new RPCs are denied by default."""
    return rules.get(method, _UNDECLARED)
