"""BentoML around plain PyTorch: `bentoml serve benchmarks.baselines.bentoml_server:Counterfactuals`.

BentoML batches need two services: a batchable service from array to array, and the API in front of it.
BENCH_MODELS_DIR, BENCH_MODEL and BENCH_MAX_BATCH (images per batch) configure it.
"""

import os
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import bentoml
import numpy as np
import torch
from bentoml.validators import ContentType
from numpy.typing import NDArray

from benchmarks.baselines.plain import Plain

_OPTIONS: dict[str, Any] = {
    "workers": 1,
    "traffic": {"timeout": 600, "max_concurrency": 1024},
    "logging": {"access": {"enabled": False}},  # a log line per request would slow it down
}
Bytes = Annotated[bytes, ContentType("application/octet-stream")]


def _plain() -> Plain:
    return Plain(Path(os.environ["BENCH_MODELS_DIR"]), os.environ["BENCH_MODEL"])


@bentoml.service(**_OPTIONS)
class Mechanisms:
    """Factors -> pixels, in adaptive batches."""

    def __init__(self) -> None:
        self._plain = _plain()

    @bentoml.api(
        batchable=True, max_batch_size=int(os.environ.get("BENCH_MAX_BATCH", 128)), max_latency_ms=60_000
    )
    def pixels(self, causes: NDArray[np.float32]) -> NDArray[np.uint8]:
        return self._plain.pixels(torch.from_numpy(np.asarray(causes, np.float32))).numpy()


@bentoml.service(**_OPTIONS)
class Counterfactuals:
    """Labels and a seed as JSON -> pixels of all images, uint8."""

    mechanisms: Any = bentoml.depends(Mechanisms)

    def __init__(self) -> None:
        self._plain = _plain()

    @bentoml.api
    async def generate(self, labels: list[list[int]], seed: int) -> Bytes:
        causes = self._plain.causes(labels, seed).numpy()
        try:
            pixels = await self.mechanisms.to_async.pixels(causes)
        except aiohttp.ServerDisconnectedError:  # the first calls sometimes find their connection closed
            pixels = await self.mechanisms.to_async.pixels(causes)
        return np.ascontiguousarray(pixels).tobytes()
