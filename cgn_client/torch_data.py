"""Counterfactuals from a running generator as a PyTorch data set: an extra, for it alone needs torch.

    data = Counterfactuals("colored_mnist", policy=Policy(bank_masks=5000, jitter=True), batch=32)
    for images, labels, position in DataLoader(data, batch_size=None, num_workers=2):
        ...

To go on later where a training has stopped, make the data set with `start=position` of its last batch.
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

_PASSING = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")  # trouble of the server that passes
_WAIT_SECONDS = 1.0


class Batch(NamedTuple):
    """Neighbouring samples.

    Attributes:
        images: composites (N, 3, H, W), float32 in [-1, 1].
        labels: of their shapes, (N,) int64.
        position: number of the sample after the last one, in the stream as a whole.
    """

    images: torch.Tensor
    labels: torch.Tensor
    position: int


class Counterfactuals(IterableDataset[Batch]):
    """A stream of labelled counterfactuals, batch by batch.

    For `DataLoader(..., batch_size=None, num_workers=W)`: each worker asks for every W-th batch over a
    connection of its own, and the loader puts them in turns, so that the batches are the same, in the same
    order, whatever W is. None is lost or comes twice.

    Sample i is a function of the model's digest, the seed, the policy and i. The digest is looked up when the
    data set is made and holds for good: a version published later changes nothing.

    Args:
        model: name of the model.
        policy: what samples are drawn by.
        generator: host:port of GeneratorService.
        version: of the model, or "latest" or "stable"; empty: the newest.
        seed: of all that is drawn, 0 to 2^64 - 1.
        start: number of the first sample.
        stop: number of the first sample that does not come any more; None: the stream has no end.
        batch: samples of a batch.
        patience: seconds that a server may be away, or busy, between two batches before that is an error.
        **connection: what Client takes besides, such as token and tls.

    Making one and reading from it raise CgnError.
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
            # Whatever is wrong with the request is told here, and not by a worker.
            with closing(self._stream(client, start, batch)) as first:
                next(first, None)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        position = self._start + number * self._batch
        stride = workers * self._batch
        last_heard = time.monotonic()
        with Client(**self._connection) as client:
            while self._stop is None or position < self._stop:
                try:
                    for samples in self._stream(client, position, stride):
                        yield _tensors(samples)
                        position = samples.start + stride
                        last_heard = time.monotonic()
                except CgnError as error:
                    if error.code not in _PASSING or time.monotonic() - last_heard > self._patience:
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
