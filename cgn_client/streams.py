"""Streamed products of factors and random samples: requests, and responses as numpy arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cgn_api.v1 import generator_pb2 as pb
from cgn_client.composites import Factor, Label, Output, composite, number_of, output_numbers
from cgn_client.errors import bad_value
from cgn_client.fields import put, set_fields
from cgn_client.results import array_of, output_name

FactorLike = Label | Factor

_VARY: dict[str, pb.Vary] = {
    "texture+background": pb.VARY_TEXTURE_AND_BACKGROUND,
    "texture": pb.VARY_TEXTURE,
    "background": pb.VARY_BACKGROUND,
    "none": pb.VARY_NONE,
}


@dataclass(frozen=True)
class Policy:
    """How samples are drawn. The label of a sample is the label of its shape.

    Attributes:
        vary: mechanisms that get their own label and seed; the other mechanisms use those of the shape.
        labels: how the labels of varied mechanisms are drawn: uniformly from all classes, or permuted within
            balanced groups.
        agreement: instead of `labels`: probability, 0 to 1, that a varying mechanism has the shape's label.
            Otherwise its label is drawn from the other classes.
        cf_ratio: number of consecutive counterfactuals that share a shape.
        bank_masks, bank_textures, bank_backgrounds: number of precomputed rows to recombine, at least one per
            class; 0: compute a new row per sample. Banks make samples far cheaper.
        jitter: whether each sample's mask and colours change slightly at random, which helps classifiers.
        truncation: factor that scales all noise, in (0, 1]; only for models that support it.
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
        """Returns the policy as a message. Raises CgnError."""
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
    """Consecutive combinations of a product.

    Attributes:
        header: shared by all chunks: model, digest, factors with their seeds, number of combinations.
        start: index of the first combination.
        count: number of combinations.
        mu_mask: mean mask value of each, 0 to 1, (count,); empty if no requested output needed the mask.
        images: by output name, arrays of shape (count, H, W, channels); for png, jpeg and webp: lists of
            files.
    """

    header: pb.ProductHeader
    start: int
    count: int
    mu_mask: NDArray[np.float32]
    images: dict[str, Any] = field(repr=False)

    def __getitem__(self, output: str) -> Any:
        """Returns the images of an output, such as `chunk["composite"]`."""
        return self.images[output]


@dataclass(frozen=True)
class Samples:
    """Consecutive samples of a stream.

    Attributes:
        header: shared by all batches: model, version, digest, seed.
        start: index of the first sample.
        labels: labels of the samples, which are those of the shapes, (N,) int64.
        texture_labels, background_labels: labels of the other mechanisms, (N,) int64.
        seeds: seeds of the noise, by mechanism, (N,) uint64.
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
        """Returns the images of an output, such as `samples["composite"]`."""
        return self.images[output]


def factors_of(field_name: str, factors: Iterable[FactorLike]) -> list[pb.Factor]:
    """Returns labels or Factors as messages. Raises CgnError."""
    if isinstance(factors, str):
        raise bad_value(field_name, f"{factors!r} is one label; give a list")
    # The message of a factor is the same for every mechanism.
    return [composite(shape=factor).shape for factor in factors]


def chunk_of(header: pb.ProductHeader, chunk: pb.ProductChunk) -> Chunk:
    """Returns a response of GenerateProduct as a Chunk."""
    images: dict[str, Any] = {}
    for batch in chunk.images:
        shape = chunk.count, batch.height, batch.width, batch.channels
        data = array_of(batch.data, header.encoding, shape) if batch.data else list(batch.files)
        images[output_name(batch.output)] = data
    return Chunk(header, chunk.start, chunk.count, np.array(chunk.mu_mask, np.float32), images)


def samples_of(header: pb.SampleHeader, batch: pb.SampleBatch) -> Samples:
    """Returns a response of Sample as Samples."""
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
    """Builds a SampleRequest. Raises CgnError for values of the wrong type."""
    if not isinstance(policy, Policy):
        raise bad_value("policy", f"must be a Policy, is {policy!r:.80}")
    request = pb.SampleRequest(policy=policy.message(), outputs=output_numbers(outputs))
    numbers = {"seed": seed, "start": start, "stop": stop, "batch": batch, "stride": stride}
    return set_fields(request, model=model, version=version, digest=digest, hard_mask=hard_mask, **numbers)
