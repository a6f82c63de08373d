"""The ImageNet family: BigGANs as mechanisms, and U²-Net, which reads the mask from the pre-mask."""

import torch

from cgn.families.family import Architecture, Family, Precision, Weights
from cgn.families.imagenet import NAME
from cgn.families.imagenet.network import ImagenetCGN, ImagenetSizes
from cgn.families.imagenet.served import ServedImagenet


def build(architecture: Architecture, classes: int, resolution: int) -> ImagenetCGN:
    """Returns a network with fresh random weights. Sizes and errors: see `ImagenetSizes.of`."""
    return ImagenetCGN(ImagenetSizes.of(dict(architecture), classes, resolution))


def serve(
    architecture: Architecture,
    classes: int,
    resolution: int,
    weights: Weights,
    device: torch.device,
    precision: Precision,
) -> ServedImagenet:
    """Returns the network as it is served; see `Family.serve`. Reads the weights tensor by tensor."""
    sizes = ImagenetSizes.of(dict(architecture), classes, resolution)
    return ServedImagenet(sizes, weights, device, getattr(torch, precision))


FAMILY = Family(
    name=NAME,
    outputs=("composite", "mask", "foreground", "background", "pre_mask", "reference"),
    build=build,
    serve=serve,
    truncated=True,
    row_switches=("mend_truncation",),
)
