"""Responses as numpy arrays."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgn_api.v1 import generator_pb2 as pb

_RAW_TYPES: dict[int, str] = {pb.ENCODING_RAW_UINT8: "u1", pb.ENCODING_RAW_FLOAT32: "<f4"}


@dataclass(frozen=True)
class ResolvedFactor:
    """A factor as the server used it.

    Attributes:
        label, label_name: class index and name; None and empty for a mixture.
        seed: seed of the noise; drawn by the server if the request had none.
        cache_hit: whether the row came from a cache instead of a forward pass.
        mixture: weight by class index; empty for a plain label.
        truncation: factor that scaled the noise, in (0, 1].
    """

    label: int | None
    label_name: str
    seed: int
    cache_hit: bool
    mixture: dict[int, float] = field(default_factory=dict)
    truncation: float = 1.0


@dataclass(frozen=True)
class Result:
    """The images of one composite.

    Attributes:
        model, version, digest: the model that generated them.
        shape, texture, background, reference: the factors used; None if no requested output needed them.
        mu_mask: mean mask value, 0 to 1; None if no requested output needed the mask.
        images: by output name, read-only HWC arrays: uint8, or float32 (masks in [0, 1], others in
            [-1, 1]). For png, jpeg and webp: the file's bytes.
    """

    model: str
    version: str
    digest: str
    shape: ResolvedFactor | None
    texture: ResolvedFactor | None
    background: ResolvedFactor | None
    reference: ResolvedFactor | None
    mu_mask: float | None
    images: dict[str, Any] = field(repr=False)

    def __getitem__(self, output: str) -> Any:
        """Returns the image of an output, such as `result["composite"]`."""
        return self.images[output]


def results_of(response: pb.GenerateResponse) -> list[Result]:
    """Returns one Result per composite, in the order of the request."""
    return [
        Result(
            model=response.model,
            version=response.version,
            digest=response.digest,
            shape=_factor(result.shape) if result.HasField("shape") else None,
            texture=_factor(result.texture) if result.HasField("texture") else None,
            background=_factor(result.background) if result.HasField("background") else None,
            reference=_factor(result.reference) if result.HasField("reference") else None,
            mu_mask=result.mu_mask if result.HasField("mu_mask") else None,
            images={output_name(image.output): _data(image, response.encoding) for image in result.images},
        )
        for result in response.results
    ]


def output_name(output: pb.Output) -> str:
    """Returns the name of an output's enum value."""
    return pb.Output.Name(output).removeprefix("OUTPUT_").lower()


def array_of(data: bytes, encoding: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Returns raw data as a read-only array."""
    array: NDArray[Any] = np.frombuffer(data, _RAW_TYPES[encoding])
    return array.reshape(shape)


def _factor(factor: pb.ResolvedFactor) -> ResolvedFactor:
    return ResolvedFactor(
        None if factor.mixture else factor.label_index,
        factor.label_name,
        factor.seed,
        factor.cache_hit,
        {part.label_index: part.weight for part in factor.mixture},
        factor.truncation,
    )


def _data(image: pb.Image, encoding: int) -> NDArray[Any] | bytes:
    if encoding not in _RAW_TYPES:
        return image.data
    return array_of(image.data, encoding, (image.height, image.width, image.channels))
