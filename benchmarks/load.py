"""The load process: requests counterfactuals from a server and prints the result as JSON.

Closed loop: a constant number of requests in flight. Open loop, with --rate: requests are sent at the times
of a Poisson process, whether or not earlier requests are answered; latency counts from these times.
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
class Requests:
    """The content of requests.

    Attributes:
        images: per request.
        kind: "fresh": new labels and seeds; "repeats": random combinations of ten fixed rows per mechanism.
        seed: of the random draws.
    """

    images: int
    kind: str
    seed: int

    def labels_and_seeds(self) -> Iterator[tuple[list[list[int]], list[list[int]]]]:
        """Yields labels and seeds per request, three lists each (shape, texture, background)."""
        draw = np.random.default_rng(self.seed)
        while True:
            labels = draw.integers(_CLASSES, size=(3, self.images)).tolist()
            if self.kind == "fresh":
                yield labels, draw.integers(1 << 63, size=(3, self.images)).tolist()
            else:
                yield labels, [[k] * self.images for k in range(3)]


@dataclass
class Answers:
    """The result of the load: times in seconds, latencies in milliseconds."""

    images: int = 0
    seconds: float = 0.0
    sent: int = 0
    failed: int = 0
    latencies_ms: list[float] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """Returns the fields, CPU seconds and latency percentiles."""
        report = asdict(self) | {"cpu_seconds": time.process_time()}
        latencies = report.pop("latencies_ms")
        for q in (50, 95, 99):
            report[f"p{q}_ms"] = float(np.percentile(latencies, q)) if latencies else None
        return report


class Target(Protocol):
    """A server: serialises requests and sends them.

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
        """Sends a request. Returns the number of images in the response. Raises the server's errors."""


class Generator:
    """This project's generator, over gRPC."""

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
    """A server that takes labels and a seed as JSON and returns the pixels of all images."""

    patience = 30.0  # some servers never answer a request

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


async def closed(
    target: Target, content: Requests, in_flight: int, warm_up: float, seconds: float
) -> Answers:
    """Keeps `in_flight` requests in flight for `seconds`, and until at least one is answered."""
    answers, drawn = Answers(seconds=seconds), content.labels_and_seeds()

    async def one_after_another(start: float, end: float) -> None:
        while (sent := time.perf_counter()) < end:
            try:
                images = await target.ask(target.request(*next(drawn)), target.patience)
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


async def open_loop(
    target: Target, content: Requests, rate: float, seconds: float, deadline: float
) -> Answers:
    """Sends requests at random times, `rate` per second. A response after its deadline counts as failed."""
    answers, chance = Answers(seconds=seconds), random.Random(content.seed)
    # Serialised in advance, so that no request is late; 10 % more than expected.
    requests = [
        target.request(*parts)
        for parts in itertools.islice(content.labels_and_seeds(), int(1.1 * rate * seconds) + 20)
    ]

    async def one(request: bytes, due: float) -> None:
        try:
            images = await target.ask(request, max(0.001, due + deadline - time.perf_counter()))
        except Exception:  # refused or too late
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
    parser.add_argument("--generator", metavar="HOST:PORT", help="address of this project's server")
    parser.add_argument("--url", help="URL of another server")
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
    arguments = parser.parse_args()
    target: Callable[[], Target]
    if arguments.generator:
        target = partial(Generator, arguments.generator, arguments.model, arguments.encoding)
    else:
        target = partial(OverHttp, arguments.url, arguments.resolution)
    content = Requests(arguments.images, arguments.kind, arguments.seed)

    async def load() -> Answers:
        if arguments.rate:
            return await open_loop(target(), content, arguments.rate, arguments.seconds, arguments.deadline)
        return await closed(target(), content, arguments.in_flight, arguments.warm_up, arguments.seconds)

    print(json.dumps(asyncio.run(load()).report()))


if __name__ == "__main__":
    main()
