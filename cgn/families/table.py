"""All families of CGNs. docs/extending.md explains how to add one."""

from collections.abc import Mapping

from cgn.errors import CgnInputError
from cgn.families.family import Architecture, Family
from cgn.families.imagenet.family import FAMILY as IMAGENET
from cgn.families.mnist.family import FAMILY as MNIST
from cgn.families.mnist_authors.family import FAMILY as MNIST_AUTHORS
from cgn.families.network import Network

FAMILIES: Mapping[str, Family[Network]] = {family.name: family for family in (MNIST, IMAGENET, MNIST_AUTHORS)}


def find_family(name: str) -> Family[Network]:
    """Returns the family of that name. Raises CgnInputError if there is none."""
    if name not in FAMILIES:
        raise CgnInputError("family", f"{name!r} is unknown; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def build_network(family: str, architecture: Architecture, classes: int, resolution: int) -> Network:
    """Returns a network as it is trained, with fresh random weights.

    Args:
        family: one of FAMILIES.
        architecture: the family's own sizes, described in its folder's `family.py`.
        classes: number of labels.
        resolution: height and width of the outputs in pixels.

    Raises:
        CgnInputError: an unknown family, or sizes that it does not have.
    """
    return find_family(family).build(architecture, classes, resolution)
