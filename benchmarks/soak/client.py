"""Mixed load on a generator from a process that may be killed at any time.

Every call is written to a ledger, a JSON object a line: when it begins, and what it ended by. Answers are
written as their factors and the hash of their pixels.
"""

import argparse
import hashlib
import io
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image

from cgn_api.v1 import generator_pb2 as pb
from cgn_api.v1.generator_pb2_grpc import GeneratorServiceStub

MODELS = ("steady", "steady", "changing")
# What each kind of call may end by, besides OK. Nothing else may happen, whatever fails meanwhile.
ALLOWED: dict[str, set[str]] = {
    "few": {"RESOURCE_EXHAUSTED"},
    "bulk": {"RESOURCE_EXHAUSTED"},
    "files": {"RESOURCE_EXHAUSTED"},
    "interpolate": {"RESOURCE_EXHAUSTED"},
    "abandoned": {"RESOURCE_EXHAUSTED", "CANCELLED"},
    "product": {"RESOURCE_EXHAUSTED"},
    "sample": {"RESOURCE_EXHAUSTED"},
    "cancelled": {"RESOURCE_EXHAUSTED", "CANCELLED"},
    "hurried": {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"},
    "bad": {"INVALID_ARGUMENT"},
}
_SHARES = {"few": 50, "bulk": 8, "files": 5, "interpolate": 4, "abandoned": 4, "cancelled": 12, "hurried": 12}
_SHARES |= {"bad": 5, "product": 2, "sample": 2}
_HOT_SEEDS = 200  # of what is asked for again and again
_TIMEOUT_SECONDS = 120.0
_LONGEST_CANCEL_SECONDS = 0.05
_LONGEST_HURRY_SECONDS = 0.05


class Caller:
    """One thread's calls."""

    def __init__(self, address: str, ledger: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._name = f"{os.getpid()}-{seed}"
        self._calls = 0
        self._stub: Any = GeneratorServiceStub(grpc.insecure_channel(address))

    def run(self, until: float) -> None:
        """Calls until a time of the monotonic clock."""
        while time.monotonic() < until:
            (kind,) = self._random.choices(list(_SHARES), list(_SHARES.values()))
            self.call(kind)

    def call(self, kind: str) -> None:
        """One call of a kind, from its first line in the ledger to its last."""
        self._calls += 1
        line: dict[str, Any] = {"id": f"{self._name}-{self._calls}", "kind": kind}
        self._write(line)
        try:
            line["images"] = getattr(self, f"_{kind}")()
            line["end"] = "OK"
        except grpc.RpcError as error:
            line["end"] = error.code().name
            line["details"] = error.details()
        except grpc.FutureCancelledError:
            line["end"] = "CANCELLED"
        except AssertionError as error:
            line["end"] = f"a wrong answer: {error}"
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._ledger, json.dumps(line).encode() + b"\n")  # in one piece, or not at all

    def _few(self) -> Any:
        return self._generate(self._request(self._random.randint(1, 4)))

    def _bulk(self) -> Any:
        return self._generate(self._request(64, hot=False))

    def _files(self) -> Any:
        return self._generate(self._request(2, encoding=pb.ENCODING_PNG))

    def _bad(self) -> Any:
        request = self._request(1)
        request.composites[0].texture.label_index = 10_000
        return self._generate(request)

    def _hurried(self) -> Any:
        request = self._request(self._random.choice([1, 64]), hot=False)
        return self._generate(request, self._random.uniform(0.001, _LONGEST_HURRY_SECONDS))

    def _cancelled(self) -> Any:
        request = self._request(self._random.choice([1, 64]), hot=False)
        call = self._stub.Generate.future(request, timeout=_TIMEOUT_SECONDS)
        time.sleep(self._random.uniform(0, _LONGEST_CANCEL_SECONDS))
        call.cancel()
        return _told(call.result())

    def _interpolate(self) -> Any:
        return self._frames(None)

    def _abandoned(self) -> Any:
        return self._frames(2)

    def _frames(self, most: int | None) -> Any:
        start, end = (self._composite(hot=True) for _ in range(2))
        request = pb.InterpolateRequest(
            model=self._random.choice(MODELS),
            start=start,
            end=end,
            midpoints=20,
            outputs=[pb.OUTPUT_COMPOSITE],
            encoding=pb.ENCODING_RAW_UINT8,
        )
        call = self._stub.Interpolate(request, timeout=_TIMEOUT_SECONDS)
        try:
            first = []
            for count, part in enumerate(call):
                assert part.frame.index == count, "frames came out of order"
                if count == 0:  # the others' factors are mixtures
                    first = _told(part.frame.response)
                if count + 1 == most:
                    break
            return first
        finally:
            call.cancel()

    def _product(self) -> Any:
        factors = [[self._factor(hot=True) for _ in range(6)] for _ in range(3)]
        request = pb.GenerateProductRequest(
            model=self._random.choice(MODELS),
            shapes=factors[0],
            textures=factors[1],
            backgrounds=factors[2],
            outputs=[pb.OUTPUT_COMPOSITE],
            encoding=pb.ENCODING_RAW_UINT8,
        )
        combinations = list(itertools.product(*factors))
        call = self._stub.GenerateProduct(request, timeout=_TIMEOUT_SECONDS)
        try:
            digest = next(call).header.digest
            told: list[Any] = []
            for part in call:
                assert part.chunk.start == len(told), "chunks came out of order"
                of_chunk = combinations[len(told) : len(told) + part.chunk.count]
                causes = [[[cause.label_index, cause.seed] for cause in three] for three in of_chunk]
                told += _told_batch(digest, causes, part.chunk.images[0])
            assert len(told) == len(combinations), "combinations are missing"
            return told
        finally:
            call.cancel()

    def _sample(self) -> Any:
        """The beginning of an endless stream."""
        request = pb.SampleRequest(
            model=self._random.choice(MODELS), seed=self._random.randrange(2**63), batch=32
        )
        call = self._stub.Sample(request, timeout=_TIMEOUT_SECONDS)
        try:
            digest = next(call).header.digest
            told: list[Any] = []
            for _ in range(3):
                batch = next(call).batch
                assert batch.start == len(told), "samples came out of order"
                of_mechanism = [
                    zip(batch.shape_labels, batch.shape_seeds, strict=True),
                    zip(batch.texture_labels, batch.texture_seeds, strict=True),
                    zip(batch.background_labels, batch.background_seeds, strict=True),
                ]
                causes = [[list(cause) for cause in three] for three in zip(*of_mechanism, strict=True)]
                told += _told_batch(digest, causes, batch.images[0])
            return told
        finally:
            call.cancel()

    def _generate(self, request: pb.GenerateRequest, timeout: float = _TIMEOUT_SECONDS) -> Any:
        return _told(self._stub.Generate(request, timeout=timeout))

    def _request(
        self, count: int, hot: bool = True, encoding: pb.Encoding = pb.ENCODING_RAW_UINT8
    ) -> pb.GenerateRequest:
        return pb.GenerateRequest(
            model=self._random.choice(MODELS),
            composites=[self._composite(hot) for _ in range(count)],
            outputs=[pb.OUTPUT_COMPOSITE],
            encoding=encoding,
        )

    def _composite(self, hot: bool) -> pb.Composite:
        return pb.Composite(shape=self._factor(hot), texture=self._factor(hot), background=self._factor(hot))

    def _factor(self, hot: bool) -> pb.Factor:
        seed = self._random.randrange(_HOT_SEEDS if hot else 2**63)
        return pb.Factor(label_index=self._random.randrange(10), seed=seed)


def _told(response: pb.GenerateResponse) -> list[Any]:
    """[digest, the factors' labels and seeds, hash of the pixels] of every composite."""
    told = []
    for result in response.results:
        causes = (result.shape, result.texture, result.background)
        (image,) = result.images
        data = image.data
        if response.encoding == pb.ENCODING_PNG:
            data = np.asarray(Image.open(io.BytesIO(data))).tobytes()
        factors = [[cause.label_index, cause.seed] for cause in causes]
        told.append([response.digest, factors, pixel_hash(data)])
    return told


def _told_batch(digest: str, causes: list[Any], images: pb.ImageBatch) -> list[Any]:
    """As _told, of a batch of raw images."""
    size = images.height * images.width * images.channels
    assert len(images.data) == size * len(causes), "images are missing"
    return [
        [digest, factors, pixel_hash(images.data[i * size : (i + 1) * size])]
        for i, factors in enumerate(causes)
    ]


def pixel_hash(data: bytes) -> str:
    """What the ledger keeps of an image's uint8 pixels."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def main(argv: Sequence[str] | None = None) -> None:
    """Calls from several threads until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--threads", type=int, default=4)
    given = parser.parse_args(argv)
    until = time.monotonic() + given.seconds
    callers = [Caller(given.address, given.ledger, given.seed + i) for i in range(given.threads)]
    threads = [threading.Thread(target=caller.run, args=(until,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
