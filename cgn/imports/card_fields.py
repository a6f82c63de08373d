"""Card fields of imported models: their classes, the bounds of their masks, notes and terms."""

from collections.abc import Sequence
from typing import Any

from cgn.card import MaskBounds
from cgn.data.digits import TERMS as DIGITS_TERMS
from cgn.data.textures import TERMS as TEXTURES_TERMS
from cgn.families.imagenet import classes as imagenet_classes
from cgn.families.imagenet import family as imagenet
from cgn.families.imagenet.network import ImagenetCGN
from cgn.families.mnist_authors import family as mnist_authors
from cgn.families.mnist_authors.network import AuthorsMnistCGN
from cgn.metrics.collapse import class_bounds, find_faults, measure_network, sound_bounds

DIGITS = sound_bounds(0.04, 0.35)  # bounds of a digit's masks, the same for all three MNIST variants
# Bounds of ImageNet's masks are wide. L_mask keeps mean values within about 0.1 to 0.9 (appendix C.1).
# A constant mask has a border mass of 0.34, an inverted one more. Edges may be soft.
OBJECTS = MaskBounds(lowest=0.05, highest=0.95, highest_border=0.5, highest_soft=1.0)
NOT_MEASURED = "no masks have been measured: the bounds are wide, and only tell a collapsed mask from another"
RANDOM = "random weights, never trained: its pictures show nothing"
NOT_TRAINED = "the mechanisms are the pretrained BigGAN, not yet trained as a CGN"
IMAGENET_TERMS = "ImageNet (ILSVRC 2012): for non-commercial research and education"


def imagenet_fields(network: ImagenetCGN, notes: Sequence[str]) -> dict[str, Any]:
    """Returns card fields of an ImageNet CGN with ImageNet's 1,000 classes.

    Its masks are not measured, because that takes a CPU too long. The card's last note says so.

    Args:
        network: the network.
        notes: notes before the last one.
    """
    return {
        "family": imagenet.FAMILY.name,
        "architecture": network.sizes.architecture,
        "class_names": imagenet_classes.class_names(),
        "class_ids": imagenet_classes.class_ids(),
        "resolution": network.resolution,
        "latent_size": network.latent,
        "mask_bounds": [OBJECTS] * network.classes,
        "mask_mean": [],
        "mask_border": [],
        "mask_soft": [],
        "notes": [*notes, NOT_MEASURED],
        "terms": [IMAGENET_TERMS],
    }


def mnist_fields(network: AuthorsMnistCGN, dataset: str) -> dict[str, Any]:
    """Returns card fields of an MNIST CGN. Its masks are measured here; the notes name every fault.

    Args:
        network: the network, in eval mode.
        dataset: the data set it was trained on, one of VARIANTS.
    """
    class_names = [str(digit) for digit in range(network.classes)]
    measures = measure_network(network)
    return {
        "family": mnist_authors.FAMILY.name,
        "architecture": {},
        "class_names": class_names,
        "resolution": network.resolution,
        "latent_size": network.latent,
        "mask_bounds": [class_bounds(of_class, DIGITS) for of_class in measures],
        "mask_mean": [of_class.mean for of_class in measures],
        "mask_border": [of_class.border for of_class in measures],
        "mask_soft": [of_class.soft for of_class in measures],
        "notes": [str(fault) for fault in find_faults(class_names, measures, DIGITS)],
        "terms": [DIGITS_TERMS, *([TEXTURES_TERMS] if dataset == "wildlife_mnist" else [])],
    }
