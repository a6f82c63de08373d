"""The load process: asks a server for counterfactuals and prints as JSON what came of it.

Closed loop: so many requests in flight all the time. Open loop, with --rate: requests leave at the times of a
Poisson process, whether or not earlier ones have been answered, and latency counts from that time on.
"""

import argparse
import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Protocol, Self

import grpc
import numpy as np

from cgn_api.v1 import generator_pb2 as pb

_CLASSES = 10
_METHOD = "/cgn_api.v1.GeneratorService/Generate"
_ENCODINGS = {"raw_uint8": pb.ENCODING_RAW_UINT8, "png": pb.ENCODING_PNG}
_UNBOUNDED = [("grpc.max_receive_message_length", -1)]


@dataclass(frozen=True)
class Asked:
    """What requests ask for.

    Attributes:
        images: per request.
        kind: "fresh": labels and seeds never asked before; "repeats": any of the 1,000 combinations of ten
            fixed rows of each mechanism.
        seed: of the draw.
    """

    images: int
    kind: str
    seed: int

    def causes(self) -> Iterator[tuple[list[list[int]], list[list[int]]]]:
        """Labels and seeds, three lists each (shape, texture, background), request after request."""
        draw = np.random.default_rng(self.seed)
        while True:
            labels = draw.integers(_CLASSES, size=(3, self.images)).tolist()
            if self.kind == "fresh":
                yield labels, draw.integers(1 << 63, size=(3, self.images)).tolist()
            else:
                yield labels, [[k] * self.images for k in range(3)]


@dataclass
class Answers:
    """What came of it: times in seconds, latencies in milliseconds."""

    images: int = 0
    seconds: float = 0.0
    sent: int = 0
    failed: int = 0
    latencies_ms: list[float] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        told = asdict(self) | {"cpu_seconds": time.process_time()}
        latencies = told.pop("latencies_ms")
        for q in (50, 95, 99):
            told[f"p{q}_ms"] = float(np.percentile(latencies, q)) if latencies else None
        return told


class Target(Protocol):
    """A server: how a request of it is written, and how it is asked.

    Attributes:
        patience: seconds for an answer, in a closed loop.
        failures: what a closed loop counts as a failed request, and goes on; anything else ends it.
    """

    patience: float
    failures: tuple[type[Exception], ...]

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...

    def request(self, labels: list[list[int]], seeds: list[list[int]]) -> bytes: ...

    async def ask(self, request: bytes, seconds: float) -> int:
        """The number of images in the answer. Raises whatever goes wrong."""


class Generator:
    """This project's, over gRPC."""

    patience = 600.0
    failures: tuple[type[Exception], ...] = ()

    def __init__(self, address: str, model: str, encoding: str) -> None:
        self._empty = pb.GenerateRequest(
            model=model, outputs=[pb.OUTPUT_COMPOSITE], encoding=_ENCODINGS[encoding]
        )
        self._address = address

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._address, options=_UNBOUNDED)
        self._call: Any = self._channel.unary_unary(
            _METHOD, request_serializer=None, response_deserializer=pb.GenerateResponse.FromString
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._channel.close(None)

    def request(self, labels: list[list[int]], seeds: list[list[int]]) -> bytes:
        request = pb.GenerateRequest()
        request.CopyFrom(self._empty)
        for parts in zip(*labels, *seeds, strict=True):
            shape, texture, background = (
                pb.Factor(label_index=y, seed=s) for y, s in zip(parts[:3], parts[3:], strict=True)
            )
            request.composites.add(shape=shape, texture=texture, background=background)
        return request.SerializeToString()

    async def ask(self, request: bytes, seconds: float) -> int:
        response = await self._call(request, timeout=seconds)
        return sum(bool(result.images[0].data) for result in response.results)


class OverHttp:
    """A server that takes labels and a seed as JSON, and answers with the pixels of all images."""

    patience = 30.0  # some leave a request without an answer

    def __init__(self, url: str, resolution: int) -> None:
        self._url, self._image_bytes = url, 3 * resolution**2
        self.failures: tuple[type[Exception], ...] = ()

    async def __aenter__(self) -> Self:
        import aiohttp

        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._seconds = aiohttp.ClientTimeout
        self.failures = (aiohttp.ClientError, TimeoutError)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    def request(self, labels: list[list[int]], seeds: list[list[int]]) -> bytes:
        return json.dumps({"labels": labels, "seed": seeds[0][0]}).encode()

    async def ask(self, request: bytes, seconds: float) -> int:
        headers = {"content-type": "application/json"}
        post = self._session.post(self._url, data=request, headers=headers, timeout=self._seconds(seconds))
        async with post as response:
            response.raise_for_status()
            return len(await response.read()) // self._image_bytes


async def closed(target: Target, asked: Asked, in_flight: int, warm_up: float, seconds: float) -> Answers:
    """The given number of requests in flight until the time is up and one at least has been answered."""
    answers, causes = Answers(seconds=seconds), asked.causes()

    async def one_after_another(start: float, end: float) -> None:
        while (sent := time.perf_counter()) < end:
            try:
                images = await target.ask(target.request(*next(causes)), target.patience)
            except target.failures:
                answers.failed += 1
                continue
            now = time.perf_counter()
            if now >= start and (now < end or not answers.sent):
                answers.images += images
                answers.sent += 1
                answers.seconds = max(seconds, now - start)
                answers.latencies_ms.append(1000 * (now - sent))

    async with target:
        start = time.perf_counter() + warm_up
        await asyncio.gather(*(one_after_another(start, start + seconds) for _ in range(in_flight)))
    return answers


async def open_loop(target: Target, asked: Asked, rate: float, seconds: float, deadline: float) -> Answers:
    """Requests at random times, ``rate`` of them per second; an answer past its deadline has failed."""
    answers, chance = Answers(seconds=seconds), random.Random(asked.seed)
    # Written beforehand, so that no request leaves late because of it; one in ten more than will be needed.
    requests = [
        target.request(*causes) for causes in itertools.islice(asked.causes(), int(1.1 * rate * seconds) + 20)
    ]

    async def one(request: bytes, due: float) -> None:
        try:
            images = await target.ask(request, max(0.001, due + deadline - time.perf_counter()))
        except Exception:  # refused, or too late
            answers.failed += 1
            return
        answers.images += images
        answers.latencies_ms.append(1000 * (time.perf_counter() - due))

    async with target, asyncio.TaskGroup() as tasks:
        start = due = time.perf_counter()
        for request in requests:
            due += chance.expovariate(rate)
            if due - start > seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            answers.sent += 1
            tasks.create_task(one(request, due))
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--generator", metavar="HOST:PORT", help="this project's server")
    parser.add_argument("--url", help="another's")
    parser.add_argument("--model", default="")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--encoding", choices=list(_ENCODINGS), default="raw_uint8")
    parser.add_argument("--images", type=int, default=64, help="per request")
    parser.add_argument("--kind", choices=["fresh", "repeats"], default="fresh")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--rate", type=float, help="requests per second, in an open loop")
    parser.add_argument("--deadline", type=float, default=60.0, help="seconds, in an open loop")
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    target: Callable[[], Target]
    if given.generator:
        target = partial(Generator, given.generator, given.model, given.encoding)
    else:
        target = partial(OverHttp, given.url, given.resolution)
    asked = Asked(given.images, given.kind, given.seed)

    async def load() -> Answers:
        if given.rate:
            return await open_loop(target(), asked, given.rate, given.seconds, given.deadline)
        return await closed(target(), asked, given.in_flight, given.warm_up, given.seconds)

    print(json.dumps(asyncio.run(load()).told()))


if __name__ == "__main__":
    main()
