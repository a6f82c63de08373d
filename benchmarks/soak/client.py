"""Mixed load on a generator, from a process that may be killed at any time.

Each call is written to a ledger, one JSON object per line: one line at its start, one at its end with its
status. Responses are recorded as factors and hashes of pixels.
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
# Statuses allowed for each kind of call besides OK, whatever fails meanwhile.
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
_HOT_SEEDS = 200  # seeds of repeated requests
_TIMEOUT_SECONDS = 120.0
_LONGEST_CANCEL_SECONDS = 0.05
_LONGEST_HURRY_SECONDS = 0.05


class Caller:
    """The calls of one thread."""

    def __init__(self, address: str, ledger: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._name = f"{os.getpid()}-{seed}"
        self._calls = 0
        self._stub: Any = GeneratorServiceStub(grpc.insecure_channel(address))

    def run(self, until: float) -> None:
        """Calls until a time on the monotonic clock."""
        while time.monotonic() < until:
            (kind,) = self._random.choices(list(_SHARES), list(_SHARES.values()))
            self.call(kind)

    def call(self, kind: str) -> None:
        """Performs one call of a kind and writes its start and its end to the ledger."""
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
            line["end"] = f"wrong response: {error}"
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        # One write per line, so that a line is complete or missing.
        os.write(self._ledger, json.dumps(line).encode() + b"\n")

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
        return _entries(call.result())

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
                if count == 0:  # factors of later frames are mixtures
                    first = _entries(part.frame.response)
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
            entries: list[Any] = []
            for part in call:
                assert part.chunk.start == len(entries), "chunks came out of order"
                of_chunk = combinations[len(entries) : len(entries) + part.chunk.count]
                factors_list = [[[cause.label_index, cause.seed] for cause in three] for three in of_chunk]
                entries += _batch_entries(digest, factors_list, part.chunk.images[0])
            assert len(entries) == len(combinations), "combinations are missing"
            return entries
        finally:
            call.cancel()

    def _sample(self) -> Any:
        """Reads the first batches of an endless stream."""
        request = pb.SampleRequest(
            model=self._random.choice(MODELS), seed=self._random.randrange(2**63), batch=32
        )
        call = self._stub.Sample(request, timeout=_TIMEOUT_SECONDS)
        try:
            digest = next(call).header.digest
            entries: list[Any] = []
            for _ in range(3):
                batch = next(call).batch
                assert batch.start == len(entries), "samples came out of order"
                of_mechanism = [
                    zip(batch.shape_labels, batch.shape_seeds, strict=True),
                    zip(batch.texture_labels, batch.texture_seeds, strict=True),
                    zip(batch.background_labels, batch.background_seeds, strict=True),
                ]
                factors_list = [[list(cause) for cause in three] for three in zip(*of_mechanism, strict=True)]
                entries += _batch_entries(digest, factors_list, batch.images[0])
            return entries
        finally:
            call.cancel()

    def _generate(self, request: pb.GenerateRequest, timeout: float = _TIMEOUT_SECONDS) -> Any:
        return _entries(self._stub.Generate(request, timeout=timeout))

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


def _entries(response: pb.GenerateResponse) -> list[Any]:
    """Returns [digest, labels and seeds of the factors, hash of the pixels] per composite."""
    entries = []
    for result in response.results:
        factors_list = (result.shape, result.texture, result.background)
        (image,) = result.images
        data = image.data
        if response.encoding == pb.ENCODING_PNG:
            data = np.asarray(Image.open(io.BytesIO(data))).tobytes()
        factors = [[cause.label_index, cause.seed] for cause in factors_list]
        entries.append([response.digest, factors, pixel_hash(data)])
    return entries


def _batch_entries(digest: str, factors_list: list[Any], images: pb.ImageBatch) -> list[Any]:
    """Returns the same entries for a batch of raw images."""
    size = images.height * images.width * images.channels
    assert len(images.data) == size * len(factors_list), "images are missing"
    return [
        [digest, factors, pixel_hash(images.data[i * size : (i + 1) * size])]
        for i, factors in enumerate(factors_list)
    ]


def pixel_hash(data: bytes) -> str:
    """Returns the hash of an image's uint8 pixels for the ledger."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def main(argv: Sequence[str] | None = None) -> None:
    """Calls from several threads for --seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--threads", type=int, default=4)
    arguments = parser.parse_args(argv)
    until = time.monotonic() + arguments.seconds
    callers = [
        Caller(arguments.address, arguments.ledger, arguments.seed + i) for i in range(arguments.threads)
    ]
    threads = [threading.Thread(target=caller.run, args=(until,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
