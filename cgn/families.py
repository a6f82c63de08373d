"""Families of CGNs: which there are, and how a network of one is built."""

from collections.abc import Mapping

from cgn.datasets import MOST_CLASSES, RESOLUTIONS
from cgn.errors import CgnInputError
from cgn.mechanisms.mnist import MnistCGN

FAMILIES = ("mnist",)


def build_network(family: str, architecture: Mapping[str, int], classes: int, resolution: int) -> MnistCGN:
    """Mechanisms with fresh random weights.

    Args:
        family: one of FAMILIES.
        architecture: ``{"width": channels of every map, 1 to 512}``.
        classes: how many labels, 2 to MOST_CLASSES.
        resolution: height and width of the outputs in pixels, 32 or 64.

    Raises:
        CgnInputError: an unknown family, or sizes that it does not have.
    """
    if family not in FAMILIES:
        raise CgnInputError("family", f"{family!r} is unknown; known: {', '.join(FAMILIES)}")
    width = architecture.get("width")
    if set(architecture) != {"width"} or not isinstance(width, int) or not 1 <= width <= 512:
        raise CgnInputError("architecture", f"{dict(architecture)} must be {{'width': 1 to 512}}")
    if not 2 <= classes <= MOST_CLASSES:
        raise CgnInputError("class_names", f"{classes} classes; the family takes 2 to {MOST_CLASSES}")
    if resolution not in RESOLUTIONS:
        allowed = " or ".join(map(str, RESOLUTIONS))
        raise CgnInputError("resolution", f"{resolution} must be {allowed} in family {family}")
    return MnistCGN(width, classes, resolution)
