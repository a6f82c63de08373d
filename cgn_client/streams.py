"""Asking for streams, products of factors and endless samples, and their parts as numpy arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cgn_api.v1 import generator_pb2 as pb
from cgn_client.composites import Factor, Label, Output, composite, number_of, output_numbers
from cgn_client.errors import bad_value
from cgn_client.fields import made, put
from cgn_client.results import array_of, output_name

Cause = Label | Factor

_VARY: dict[str, pb.Vary] = {
    "texture+background": pb.VARY_TEXTURE_AND_BACKGROUND,
    "texture": pb.VARY_TEXTURE,
    "background": pb.VARY_BACKGROUND,
    "none": pb.VARY_NONE,
}


@dataclass(frozen=True)
class Policy:
    """What samples are drawn by. The label of a sample is that of its shape.

    Attributes:
        vary: mechanisms with a label and a seed of their own; the others have the shape's.
        labels: of the mechanisms that vary: drawn from all classes, or permuted within balanced groups.
        agreement: instead of `labels`: the share of samples, 0 to 1, whose label is the shape's, for each
            mechanism that varies; the others have any other class.
        cf_ratio: counterfactuals in a row that share a shape.
        bank_masks, bank_textures, bank_backgrounds: rows to recombine, at least one per class; 0: fresh
            ones. Samples of banks are far cheaper.
        jitter: change every sample's mask and colours a little at random, as data for classifiers profit
            from.
        truncation: what all noise is scaled by, above 0, at most 1; only of models that have it.
    """

    vary: Literal["texture+background", "texture", "background", "none"] = "texture+background"
    labels: Literal["uniform", "permuted"] = "uniform"
    agreement: float | None = None
    cf_ratio: int = 1
    bank_masks: int = 0
    bank_textures: int = 0
    bank_backgrounds: int = 0
    jitter: bool = False
    truncation: float | None = None

    def message(self) -> pb.SamplePolicy:
        """The policy as it is sent. Raises CgnError."""
        labels = "agreement" if self.agreement is not None else self.labels
        if self.vary not in _VARY:
            raise bad_value("policy.vary", f"{self.vary!r} is unknown; use {', '.join(_VARY)}")
        message = pb.SamplePolicy(
            vary=_VARY[self.vary],
            labels=number_of(pb.LabelPolicy, "policy.labels", "LABEL_POLICY_", labels),
        )
        names = ("cf_ratio", "bank_masks", "bank_textures", "bank_backgrounds", "jitter")
        for name in (*names, "agreement", "truncation"):
            put(message, name, getattr(self, name), f"policy.{name}")
        return message


@dataclass(frozen=True)
class Chunk:
    """Neighbouring combinations of a product.

    Attributes:
        header: what all chunks have in common: model, digest, factors with their seeds, combinations.
        start: number of the first one. count: how many they are.
        mu_mask: mean mask value of each, 0 to 1; empty where no asked output needed the mask.
        images: by output name, arrays of shape (count, H, W, channels); with png, jpeg or webp: lists of
            files.
    """

    header: pb.ProductHeader
    start: int
    count: int
    mu_mask: NDArray[np.float32]
    images: dict[str, Any] = field(repr=False)

    def __getitem__(self, output: str) -> Any:
        """The images of an output, `chunk["composite"]`."""
        return self.images[output]


@dataclass(frozen=True)
class Samples:
    """Neighbouring samples of a stream.

    Attributes:
        header: what all batches have in common: model, version, digest, seed.
        start: number of the first one.
        labels: their own, which are those of their shapes, (N,) int64.
        texture_labels, background_labels: of the other mechanisms, (N,) int64.
        seeds: of the noise, by mechanism, (N,) uint64.
        images: by output name, uint8 arrays of shape (N, H, W, channels).
    """

    header: pb.SampleHeader
    start: int
    labels: NDArray[np.int64]
    texture_labels: NDArray[np.int64]
    background_labels: NDArray[np.int64]
    seeds: dict[str, NDArray[np.uint64]]
    images: dict[str, NDArray[np.uint8]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, output: str) -> NDArray[np.uint8]:
        """The images of an output, `samples["composite"]`."""
        return self.images[output]


def factors_of(field_name: str, causes: Iterable[Cause]) -> list[pb.Factor]:
    """A set of factors as it is sent; each is a label or a Factor. Raises CgnError."""
    if isinstance(causes, str):
        raise bad_value(field_name, f"{causes!r} is a single one; give a list")
    # Of whichever mechanism: their factors are of one kind.
    return [composite(shape=cause).shape for cause in causes]


def chunk_of(header: pb.ProductHeader, chunk: pb.ProductChunk) -> Chunk:
    """A part of a product."""
    images: dict[str, Any] = {}
    for batch in chunk.images:
        shape = chunk.count, batch.height, batch.width, batch.channels
        data = array_of(batch.data, header.encoding, shape) if batch.data else list(batch.files)
        images[output_name(batch.output)] = data
    return Chunk(header, chunk.start, chunk.count, np.array(chunk.mu_mask, np.float32), images)


def samples_of(header: pb.SampleHeader, batch: pb.SampleBatch) -> Samples:
    """A part of a stream of samples."""
    count = len(batch.shape_labels)
    return Samples(
        header,
        batch.start,
        labels=np.array(batch.shape_labels, np.int64),
        texture_labels=np.array(batch.texture_labels, np.int64),
        background_labels=np.array(batch.background_labels, np.int64),
        seeds={
            mechanism: np.array(getattr(batch, f"{mechanism}_seeds"), np.uint64)
            for mechanism in ("shape", "texture", "background")
        },
        images={
            output_name(image.output): array_of(
                image.data, pb.ENCODING_RAW_UINT8, (count, image.height, image.width, image.channels)
            )
            for image in batch.images
        },
    )


def sample_request(
    model: str,
    policy: Policy,
    *,
    seed: int | None,
    start: int,
    stop: int | None,
    batch: int | None,
    stride: int | None,
    outputs: Sequence[Output],
    version: str,
    digest: str,
    hard_mask: bool,
) -> pb.SampleRequest:
    """A request for samples. Raises CgnError for what cannot be sent."""
    if not isinstance(policy, Policy):
        raise bad_value("policy", f"must be a Policy, is {policy!r:.80}")
    request = pb.SampleRequest(policy=policy.message(), outputs=output_numbers(outputs))
    numbers = {"seed": seed, "start": start, "stop": stop, "batch": batch, "stride": stride}
    return made(request, model=model, version=version, digest=digest, hard_mask=hard_mask, **numbers)
