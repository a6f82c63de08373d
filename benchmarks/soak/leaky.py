"""The positive control: a generator that leaks memory with every call and returns some wrong images."""

import asyncio
import itertools
from typing import Any

from cgn_api.v1 import generator_pb2 as pb
from common import logs
from common.settings import GeneratorSettings
from services.generator.__main__ import main
from services.generator.servicer import GeneratorServicer

LEAK_BYTES = 100_000  # per call
_WRONG_EVERY = 10  # responses

_leaked: list[bytearray] = []
_answers = itertools.count(1)
_generate = GeneratorServicer.Generate


async def _leaking(self: GeneratorServicer, request: pb.GenerateRequest, context: Any) -> pb.GenerateResponse:
    _leaked.append(bytearray(LEAK_BYTES))
    response = await _generate(self, request, context)
    if response.encoding == pb.ENCODING_RAW_UINT8 and next(_answers) % _WRONG_EVERY == 0:
        image = response.results[0].images[0]
        image.data = bytes([image.data[0] ^ 1]) + image.data[1:]
    return response


if __name__ == "__main__":
    logs.setup("generator")
    GeneratorServicer.Generate = _leaking  # type: ignore[method-assign]
    asyncio.run(main(GeneratorSettings.from_env()))
