"""Families of CGNs: which there are, what they put out, and how a network of one is built."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, overload

import torch
from torch import nn

from cgn.datasets import MOST_CLASSES, RESOLUTIONS
from cgn.errors import CgnInputError
from cgn.families.imagenet.network import ImagenetCGN, ImagenetSizes
from cgn.families.imagenet.served import ServedImagenet
from cgn.families.mnist.network import MnistCGN
from cgn.families.mnist.served import ServedMnist
from cgn.families.mnist_authors.network import AuthorsMnistCGN
from cgn.families.mnist_authors.served import ServedAuthorsMnist
from cgn.families.network import Network

Precision = Literal["float32", "bfloat16"]
Output = Literal["composite", "mask", "foreground", "background", "pre_mask", "reference"]

Weights = Mapping[str, torch.Tensor]  # a state dict, perhaps read from a file tensor by tensor
T = TypeVar("T", bound=nn.Module)
Serve = Callable[[Mapping[str, int], int, int, Weights, torch.device, Precision], Network]


@dataclass(frozen=True)
class Family:
    """One kind of CGN.

    Attributes:
        outputs: what it can be asked for.
        build: (architecture, classes, resolution) -> the network as it is trained and stored.
        serve: (architecture, classes, resolution, weights, device, precision) -> the network as it is served.
        truncated: whether its noise has a truncation.
    """

    outputs: tuple[Output, ...]
    build: Callable[[Mapping[str, int], int, int], nn.Module]
    serve: Serve
    truncated: bool = False


def _mnist(architecture: Mapping[str, int], classes: int, resolution: int) -> MnistCGN:
    width = architecture.get("width")
    if set(architecture) != {"width"} or not isinstance(width, int) or not 1 <= width <= 512:
        raise CgnInputError("architecture", f"{dict(architecture)} must be {{'width': 1 to 512}}")
    if not 2 <= classes <= MOST_CLASSES:
        raise CgnInputError("class_names", f"{classes} classes; the family takes 2 to {MOST_CLASSES}")
    if resolution not in RESOLUTIONS:
        allowed = " or ".join(map(str, RESOLUTIONS))
        raise CgnInputError("resolution", f"{resolution} must be {allowed} in family mnist")
    return MnistCGN(width, classes, resolution)


def _folded(
    build: Callable[[Mapping[str, int], int, int], T], served: Callable[[T, torch.dtype], Network]
) -> Serve:
    """Serving in a form that is derived from the trained one."""

    def serve(
        architecture: Mapping[str, int],
        classes: int,
        resolution: int,
        weights: Weights,
        device: torch.device,
        precision: Precision,
    ) -> Network:
        trained = build(architecture, classes, resolution).eval()
        trained.load_state_dict(dict(weights), strict=False)  # without counters of steps, which nothing reads
        return served(trained, getattr(torch, precision))

    return serve


def _imagenet(architecture: Mapping[str, int], classes: int, resolution: int) -> ImagenetCGN:
    return ImagenetCGN(ImagenetSizes.of(dict(architecture), classes, resolution))


def _serve_imagenet(
    architecture: Mapping[str, int],
    classes: int,
    resolution: int,
    weights: Weights,
    device: torch.device,
    precision: Precision,
) -> Network:
    sizes = ImagenetSizes.of(dict(architecture), classes, resolution)
    return ServedImagenet(sizes, weights, device, getattr(torch, precision))


FAMILIES: Mapping[str, Family] = {
    "mnist": Family(("composite", "mask", "foreground", "background"), _mnist, _folded(_mnist, ServedMnist)),
    "imagenet": Family(
        ("composite", "mask", "foreground", "background", "pre_mask", "reference"),
        _imagenet,
        _serve_imagenet,
        truncated=True,
    ),
    "mnist_authors": Family(
        ("composite", "mask", "foreground", "background"),
        AuthorsMnistCGN.of,
        _folded(AuthorsMnistCGN.of, ServedAuthorsMnist),
    ),
}


@overload
def build_network(
    family: Literal["mnist"], architecture: Mapping[str, int], classes: int, resolution: int
) -> MnistCGN: ...


@overload
def build_network(
    family: str, architecture: Mapping[str, int], classes: int, resolution: int
) -> nn.Module: ...


def build_network(family: str, architecture: Mapping[str, int], classes: int, resolution: int) -> nn.Module:
    """Mechanisms as they are trained, with fresh random weights.

    Args:
        family: one of FAMILIES.
        architecture: of mnist ``{"width": channels of every map, 1 to 512}``; of imagenet see ImagenetSizes.
        classes: how many labels, 2 to MOST_CLASSES.
        resolution: height and width of the outputs in pixels.

    Raises:
        CgnInputError: an unknown family, or sizes that it does not have.
    """
    return find_family(family).build(architecture, classes, resolution)


def find_family(name: str) -> Family:
    """The family of a name. Raises CgnInputError."""
    if name not in FAMILIES:
        raise CgnInputError("family", f"{name!r} is unknown; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]
