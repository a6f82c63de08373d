"""What the edge needs to know of a service's RPCs. Each service declares its own rules, as plain data.

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
        field: the request's field that a caller reduces to ask for fewer images; errors name it.
        count: images that a request asks for, each output of a composite counted.
    """

    field: str
    count: Callable[[Any], int]


@dataclass(frozen=True)
class RpcRule:
    """The role that an RPC needs, and how its images are counted.

    Attributes:
        role: what the caller must have.
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
    """Rules by full method name, from a service's full name and its rules by RPC name."""
    return {f"/{service}/{rpc}": rule for rpc, rule in rules.items()}


def rule_for(rules: Rules, method: str) -> RpcRule:
    """The rule of a method. An RPC without a rule needs "admin", so that a new RPC starts closed."""
    return rules.get(method, _UNDECLARED)
