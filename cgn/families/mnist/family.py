"""The MNIST family: one small network per mechanism, for pictures of 32 or 64 pixels."""

from cgn.datasets import MOST_CLASSES, RESOLUTIONS
from cgn.errors import CgnInputError
from cgn.families.family import Architecture, Family, served_from_trained
from cgn.families.mnist.network import MnistCGN
from cgn.families.mnist.served import ServedMnist


def build(architecture: Architecture, classes: int, resolution: int) -> MnistCGN:
    """Returns a network with fresh random weights.

    Args:
        architecture: ``{"width": channels of every map, 1 to 512}``.
        classes: number of labels, 2 to MOST_CLASSES.
        resolution: height and width in pixels, one of RESOLUTIONS.

    Raises:
        CgnInputError: sizes that the family does not have.
    """
    width = architecture.get("width")
    if set(architecture) != {"width"} or not isinstance(width, int) or not 1 <= width <= 512:
        raise CgnInputError("architecture", f"{dict(architecture)} must be {{'width': 1 to 512}}")
    if not 2 <= classes <= MOST_CLASSES:
        raise CgnInputError("class_names", f"{classes} classes; the family takes 2 to {MOST_CLASSES}")
    if resolution not in RESOLUTIONS:
        allowed = " or ".join(map(str, RESOLUTIONS))
        raise CgnInputError("resolution", f"{resolution} must be {allowed} in family mnist")
    return MnistCGN(width, classes, resolution)


FAMILY = Family(
    name="mnist",
    outputs=("composite", "mask", "foreground", "background"),
    build=build,
    serve=served_from_trained(build, ServedMnist),
)
