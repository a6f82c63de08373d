"""Counterfactuals from a running generator as a PyTorch data set. Only this module of the client needs torch.

    data = Counterfactuals("colored_mnist", policy=Policy(bank_masks=5000, jitter=True), batch=32)
    for images, labels, position in DataLoader(data, batch_size=None, num_workers=2):
        ...

To resume a training, create the data set with `start=position` of the last batch.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import torch
from torch.utils.data import IterableDataset, get_worker_info

from cgn_client.client import Client
from cgn_client.errors import CgnError
from cgn_client.streams import Policy, Samples

_TEMPORARY = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
_WAIT_SECONDS = 1.0


class Batch(NamedTuple):
    """Consecutive samples.

    Attributes:
        images: composites, (N, 3, H, W) float32 in [-1, 1].
        labels: labels of the shapes, (N,) int64.
        position: index in the stream of the sample that follows this batch.
    """

    images: torch.Tensor
    labels: torch.Tensor
    position: int


class Counterfactuals(IterableDataset[Batch]):
    """A stream of labelled counterfactuals, batch by batch.

    Use it with `DataLoader(..., batch_size=None, num_workers=W)`. Each worker requests every W-th batch over
    its own connection, and the loader alternates between workers. Batches and their order are the same for
    every W; no batch is lost or repeated.

    Sample i is a function of the model's digest, the seed, the policy and i. The digest is looked up once,
    when the data set is created, so a version published later has no effect.

    Args:
        model: name of the model.
        policy: how samples are drawn.
        generator: host:port of GeneratorService.
        version: version of the model, or "latest" or "stable"; empty: the newest.
        seed: seed of all random draws, 0 to 2^64 - 1.
        start: index of the first sample.
        stop: index after the last sample; None: the stream is endless.
        batch: samples per batch.
        patience: seconds to retry while the server is unreachable or busy, before the error is raised.
        **connection: further arguments of Client, such as token and tls.

    The constructor and iteration raise CgnError.
    """

    def __init__(
        self,
        model: str,
        policy: Policy | None = None,
        *,
        generator: str = "127.0.0.1:50051",
        version: str = "",
        seed: int = 0,
        start: int = 0,
        stop: int | None = None,
        batch: int = 64,
        patience: float = 60.0,
        **connection: Any,
    ) -> None:
        self._connection = {"generator": generator, **connection}
        self._policy = policy or Policy()
        self._seed, self._start, self._stop, self._batch = seed, start, stop, batch
        self._patience = patience
        with Client(**self._connection) as client:
            card = client.get_model(model, version)
            self._model, self._version, self._digest = card.name, card.version, card.digest
            # An invalid request must fail here, not in a worker process.
            with closing(self._stream(client, start, batch)) as first:
                next(first, None)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        position = self._start + number * self._batch
        stride = workers * self._batch
        last_batch_at = time.monotonic()
        with Client(**self._connection) as client:
            while self._stop is None or position < self._stop:
                try:
                    for samples in self._stream(client, position, stride):
                        yield _tensors(samples)
                        position = samples.start + stride
                        last_batch_at = time.monotonic()
                except CgnError as error:
                    if error.code not in _TEMPORARY or time.monotonic() - last_batch_at > self._patience:
                        raise
                    time.sleep(error.retry_seconds or _WAIT_SECONDS)

    def _stream(self, client: Client, position: int, stride: int) -> Generator[Samples]:
        return client.sample(
            self._model,
            self._policy,
            seed=self._seed,
            start=position,
            stop=self._stop,
            batch=self._batch,
            stride=stride,
            version=self._version,
            digest=self._digest,
        )


def _tensors(samples: Samples) -> Batch:
    levels_NHWC = torch.from_numpy(samples["composite"].copy())
    images = levels_NHWC.permute(0, 3, 1, 2).float().mul_(1 / 127.5).sub_(1)
    return Batch(images, torch.from_numpy(samples.labels), samples.start + len(samples))
