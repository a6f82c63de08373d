"""Publishes CGNs with random weights for tests; their cards say that they were never trained."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import torch

from cgn.card import MaskBounds, ModelCard
from cgn.families.imagenet import family as imagenet
from cgn.families.imagenet.biggan import BigGAN, calibrate
from cgn.families.imagenet.network import MODULES, ImagenetCGN
from cgn.families.mnist import family as mnist
from cgn.store import checkpoint

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def publish_random(
    root: Path,
    name: str,
    version: str = "v1",
    *,
    seed: int = 0,
    width: int = 8,
    class_names: list[str] = DIGITS,
    resolution: int = 32,
    **fields: Any,
) -> ModelCard:
    """Publishes a small CGN of the MNIST family. fields: replace fields of its card."""
    torch.manual_seed(seed)
    card: dict[str, Any] = {
        "family": mnist.FAMILY.name,
        "architecture": {"width": width},
        "class_names": class_names,
        "resolution": resolution,
        "latent_size": 32,
        "mask_bounds": [MaskBounds(0.05, 0.6, highest_border=0.5, highest_soft=1.0)] * len(class_names),
        "mask_mean": [0.5] * len(class_names),
        "mask_border": [0.34] * len(class_names),
        "mask_soft": [1.0] * len(class_names),
        "trained": False,
        "notes": ["random weights, for tests"],
    }
    network = mnist.build({"width": width}, len(class_names), resolution)
    return checkpoint.publish(root, network, name=name, version=version, **(card | fields))


ANIMALS = ["otter", "ostrich", "oyster", "owl"]
ANIMAL_IDS = ["n02444819", "n01518878", "n07690000", "n01621127"]
TINY_IMAGENET = {
    "ch": 8,
    "z_dim": 16,
    "u2net_inner": 2,
    "u2net_outer": 4,
    "reference": 1,
    "mend_truncation": 0,
}


@cache
def _random_imagenet(seed: int, **sizes: int) -> ImagenetCGN:
    """Returns a calibrated network. Calibration takes seconds, and many tests use the same network."""
    torch.manual_seed(seed)
    network = imagenet.build(sizes, len(ANIMALS), 32).eval()
    for i, module in enumerate(MODULES.values()):
        if isinstance(biggan := getattr(network, module, None), BigGAN):
            calibrate(biggan, seed + i)
    return network


def publish_random_imagenet(
    root: Path, name: str, version: str = "v1", *, seed: int = 0, **architecture: int
) -> tuple[ModelCard, ImagenetCGN]:
    """Publishes a CGN of the ImageNet family at 32 pixels. Returns its card and its trained form."""
    sizes = TINY_IMAGENET | architecture
    network = copy.deepcopy(_random_imagenet(seed, **sizes))
    card = checkpoint.publish(
        root,
        network,
        dtype=torch.float32,
        name=name,
        version=version,
        family=imagenet.FAMILY.name,
        architecture=sizes,
        class_names=ANIMALS,
        class_ids=ANIMAL_IDS,
        resolution=32,
        latent_size=sizes["z_dim"],
        mask_bounds=[MaskBounds(0.01, 0.99, highest_border=0.9, highest_soft=1.0)] * len(ANIMALS),
        mask_mean=[],
        mask_border=[],
        mask_soft=[],
        trained=False,
        notes=["random weights, for tests"],
    )
    return card, network
