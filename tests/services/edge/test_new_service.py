"""A service unknown to the edge: its own rules define the roles, limits and pace of its RPCs."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import Int32Value
from prometheus_client import CollectorRegistry

from common.metrics import RpcMetrics
from common.settings import EdgeSettings
from services.edge.access import Access
from services.edge.caller import caller
from services.edge.callers import Callers, token_hash
from services.edge.interceptor import RpcInterceptor
from services.edge.limits import Limits
from services.edge.rules import ImagesRequested, RpcRule, service_rules
from services.in_flight import InFlight

RULES = service_rules(
    "toy.Painter",
    {
        "Paint": RpcRule("train", ImagesRequested("value", lambda request: 2 * request.value)),
        "Stream": RpcRule("generate", images_sent=lambda request, response: request.value),
    },
)
ENTRY = '[[caller]]\nname = "{role}"\nroles = ["{role}"]\ntoken_sha256 = "{hash}"\n'


async def paint(request: Int32Value, context: Any) -> Int32Value:
    assert caller().name in ("train", "admin")
    return request


async def stream(request: Int32Value, context: Any) -> AsyncIterator[Int32Value]:
    for i in range(3):
        yield Int32Value(value=i)


def handlers() -> Any:
    coding: dict[str, Any] = {
        "request_deserializer": Int32Value.FromString,
        "response_serializer": Int32Value.SerializeToString,
    }
    methods: dict[str, Any] = {
        "Paint": grpc.unary_unary_rpc_method_handler(paint, **coding),
        "Stream": grpc.unary_stream_rpc_method_handler(stream, **coding),
        "Undeclared": grpc.unary_unary_rpc_method_handler(paint, **coding),
    }
    return grpc.method_handlers_generic_handler("toy.Painter", methods)


class Toy:
    """Calls the toy service, with the token of a role."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        coding: dict[str, Any] = {
            "request_serializer": Int32Value.SerializeToString,
            "response_deserializer": Int32Value.FromString,
        }
        self._unary = lambda method: channel.unary_unary(f"/toy.Painter/{method}", **coding)
        self._stream = channel.unary_stream("/toy.Painter/Stream", **coding)

    async def call(self, role: str, method: str, value: int = 1) -> int:
        answer = await self._unary(method)(Int32Value(value=value), metadata=_token(role))
        return int(answer.value)

    async def stream(self, role: str, value: int) -> list[int]:
        responses = self._stream(Int32Value(value=value), metadata=_token(role))
        return [response.value async for response in responses]

    async def refusal(self, role: str, method: str, value: int = 1) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.call(role, method, value)
        return error.value.code(), str(error.value.details())


def _token(role: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {role}")]


def test_a_new_service_needs_only_its_own_rules(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    roles = ("generate", "train", "admin")
    tokens.write_text("".join(ENTRY.format(role=role, hash=token_hash(role).hex()) for role in roles))
    edge = EdgeSettings.from_env({"CGN_MAX_IMAGES": "20", "CGN_IMAGES_PER_SECOND": "10"})

    async def run() -> None:
        access = Access(Callers(tokens, certificates=False), certificates=False)
        metrics = RpcMetrics(CollectorRegistry())
        interceptor = RpcInterceptor(metrics, InFlight(), access, Limits(edge), RULES, None)
        server = grpc.aio.server(interceptors=[interceptor])
        server.add_generic_rpc_handlers((handlers(),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await check(Toy(channel))
        await server.stop(0)

    asyncio.run(run())


async def check(toy: Toy) -> None:
    code, why = await toy.refusal("generate", "Paint")
    assert code is grpc.StatusCode.PERMISSION_DENIED and 'Paint needs the role "train"' in why
    code, why = await toy.refusal("train", "Undeclared")
    assert code is grpc.StatusCode.PERMISSION_DENIED and 'Undeclared needs the role "admin"' in why
    assert await toy.call("admin", "Undeclared") == 1

    code, why = await toy.refusal("train", "Paint", 11)
    assert code is grpc.StatusCode.INVALID_ARGUMENT and why.startswith("value: 22 images")
    assert await toy.call("train", "Paint", 10) == 10
    code, why = await toy.refusal("train", "Paint")
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED and "10 images per second" in why

    began = time.monotonic()
    assert await toy.stream("generate", 8) == [0, 1, 2]  # 10 images are free, then 14 at 10 per second
    assert time.monotonic() - began > 1.0
