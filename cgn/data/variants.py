"""Colored, double-colored and Wildlife MNIST: digits whose colour or texture reveals their class.

A variant puts each digit (the shape) on a background and fills it with an object colour or texture. Shape,
object and background each have their own label. In training all three labels are equal; in testing the
object's and the background's label are random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cgn.data.digits import BUNDLED, CLASSES, Digits, load_digits
from cgn.data.digits import TERMS as DIGITS_TERMS
from cgn.data.painting import Colours, Crops, Labels, compose, paint_crops, paint_flat, paint_soft
from cgn.data.source import DataError
from cgn.data.textures import PROCEDURAL, load_textures
from cgn.data.textures import TERMS as TEXTURES_TERMS
from cgn.datasets import VARIANTS

if TYPE_CHECKING:  # importing this module must not import torch
    import torch

SPLITS = ("train", "validation", "test")
TRAIN = 50_000  # training digits in MNIST's training file, for variants that do not use its test file
VALIDATION = 5_000  # the last training digits; for the bundled digits BUNDLED_VALIDATION
BUNDLED_VALIDATION = 800

# Mean RGB of each class, recovered from published images of the data: Trubetskoy's list of distinct colours,
# with teal, pink and maroon in place of its green, magenta and pink.
COLORED_PALETTE = np.array(
    [(230, 25, 75), (0, 128, 128), (255, 225, 25), (0, 130, 200), (245, 130, 48)]
    + [(145, 30, 180), (70, 240, 240), (250, 190, 190), (210, 245, 60), (128, 0, 0)]
) / 255  # fmt: skip

# Dark green, dark blue, maroon, orange red, yellow, burly wood, lime, aqua, fuchsia, cornflower.
BACKGROUND_PALETTE = np.array(
    [(0, 100, 0), (0, 0, 139), (176, 48, 96), (255, 69, 0), (255, 255, 0)]
    + [(222, 184, 135), (0, 255, 0), (0, 255, 255), (255, 0, 255), (100, 149, 237)]
) / 255  # fmt: skip
OBJECT_PALETTE = np.roll(BACKGROUND_PALETTE, 6, axis=0)  # class i has the background colour of class i - 6
COLOUR_VARIANCE = {
    "colored_mnist": 0.02,
    "double_colored_mnist": 0.01**2,
}  # per channel, of colours in [0, 1]
DRIFT_LOADERS = 8  # parallel loaders of the drifting set, each with its own class colours


@dataclass(frozen=True)
class VariantSet:
    """N images of one variant and split, with the labels of their factors.

    Attributes:
        images: float32 [N, 3, 32, 32] in [-1, 1]. The noise of double-colored MNIST is not clipped, so it
            exceeds the range slightly.
        labels, object_labels, background_labels: int64 [N], 0 to 9. Colored MNIST has black backgrounds,
            whose label is 0.
        masks: bool [N, 32, 32], the true digits; for evaluation only, a CGN is trained without them.
        provenance: arguments and data sources of `make_variant`, as plain JSON values.
    """

    images: torch.Tensor
    labels: torch.Tensor
    object_labels: torch.Tensor
    background_labels: torch.Tensor
    masks: torch.Tensor
    provenance: dict[str, object]


def make_variant(
    variant: str,
    split: str,
    *,
    seed: int = 0,
    object_correlation: float | None = None,
    background_correlation: float | None = None,
    colour_variance: float | None = None,
    drift: bool = False,
    limit: int = 0,
) -> VariantSet:
    """Builds a split of a variant in memory. The same arguments and data give the same set.

    Colored MNIST trains on MNIST's training file and tests on its test file. The other two train on the
    training digits 0 to 49,999 and test on 50,000 to 59,999. The last 5,000 training digits are for
    validation. With the bundled subset, all variants train on 7,200 digits, validate on 800 and test on
    2,000.

    Args:
        variant: one of VARIANTS.
        split: one of SPLITS.
        seed: seed of everything that is drawn, 0 to 2**64 - 1. Variants and splits draw independently.
        object_correlation, background_correlation: 0 to 100 percent. With this probability the object or the
            background has the digit's class, else a class drawn from all ten. None: 100 for training and
            validation, 0 for tests. Colored MNIST has black backgrounds only.
        colour_variance: variance per channel of the normal noise on an image's colours, 0 to 1. None: 0.02
            for colored, 0.0001 for double-colored MNIST. Wildlife MNIST has no colours.
        drift: for double-colored MNIST: the noise adds up from image to image, as in the paper's loader, so
            that class colours follow a random walk in each of eight parallel loaders.
        limit: number of images, balanced over the classes as far as possible; 0: all. They are images of the
            whole split.

    Raises:
        DataError: a bad argument or unusable data.
    """
    _choice("variant", variant, VARIANTS)
    _choice("split", split, SPLITS)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise DataError("seed", f"{seed!r} is not an integer within 0 to 2**64 - 1")
    usual = 0.0 if split == "test" else 100.0
    object_percent = _number("object_correlation", object_correlation, usual, 100)
    background_percent = _number("background_correlation", background_correlation, usual, 100)
    if variant == "colored_mnist" and background_correlation is not None:
        raise DataError("background_correlation", "colored_mnist has black backgrounds only; leave it out")
    variance = _number("colour_variance", colour_variance, COLOUR_VARIANCE.get(variant, 0.0), 1)
    if variant == "wildlife_mnist" and colour_variance is not None:
        raise DataError("colour_variance", "wildlife_mnist has textures, no colours; leave it out")
    if drift and variant != "double_colored_mnist":
        raise DataError(
            "drift", f"{variant} has no drifting colours, only double_colored_mnist; leave it out"
        )

    digits = load_digits()
    grey, labels = _digits_of(digits, variant, split)
    count = len(labels)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= count:
        raise DataError(
            "limit", f"{limit!r} is not within 0 (all) to {count}, the {split} digits of the {digits.source}"
        )

    def rng(purpose: int) -> np.random.Generator:
        key = [seed, VARIANTS.index(variant), SPLITS.index(split), purpose]
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))

    # Everything is drawn for the whole split and then cut, so a limited set is a part of the whole split.
    chosen = _balanced(labels, limit or count, rng(0))
    objects = _factor(labels, object_percent, rng(1))
    backgrounds = _factor(labels, background_percent, rng(2))
    provenance: dict[str, object] = {"variant": variant, "split": split, "count": len(chosen), "seed": seed}
    provenance |= {"digits": digits.source, "object_correlation": object_percent}
    terms = [DIGITS_TERMS]
    notes = [f"{BUNDLED}: 10,000 digits of MNIST's training file"] if digits.source == BUNDLED else []
    if variant == "colored_mnist":
        backgrounds = np.zeros_like(labels)
        provenance |= {"palette": "Trubetskoy", "colour_variance": variance}
        noise = _noise(objects, variance, False, rng(3))
        paint = paint_soft(np.clip(COLORED_PALETTE[objects] + noise, 0, 1)[chosen])
    elif variant == "double_colored_mnist":
        provenance |= {
            "background_correlation": background_percent,
            "colour_variance": variance,
            "drift": drift,
        }
        foreground = OBJECT_PALETTE[objects] + _noise(objects, variance, drift, rng(3))
        ground = BACKGROUND_PALETTE[backgrounds] + _noise(backgrounds, variance, drift, rng(4))
        paint = paint_flat(foreground[chosen], ground[chosen])
    else:
        textures = load_textures()
        provenance |= {"background_correlation": background_percent, "textures": textures.source}
        if textures.source == PROCEDURAL:
            notes.append("procedural textures: drawn stripes and veins, not photographs")
        else:
            terms.append(TEXTURES_TERMS)
        paint = paint_crops(
            Crops(textures.object, objects, chosen, rng(3)),
            Crops(textures.background, backgrounds, chosen, rng(4)),
        )
    provenance |= {"notes": notes, "terms": terms}
    images, masks = compose(grey[chosen], paint)

    import torch

    return VariantSet(
        torch.from_numpy(images),
        torch.from_numpy(labels[chosen]),
        torch.from_numpy(objects[chosen]),
        torch.from_numpy(backgrounds[chosen]),
        torch.from_numpy(masks),
        provenance,
    )


def _digits_of(digits: Digits, variant: str, split: str) -> tuple[NDArray[np.uint8], Labels]:
    """Returns the digits and labels of a split."""
    if digits.source == BUNDLED or variant == "colored_mnist":
        train = len(digits.train_labels)
        test_images, test_labels = digits.test_images, digits.test_labels
    else:
        train = TRAIN
        test_images, test_labels = digits.train_images[train:], digits.train_labels[train:]
    if split == "test":
        return test_images, test_labels
    border = train - (BUNDLED_VALIDATION if digits.source == BUNDLED else VALIDATION)
    part = slice(0, border) if split == "train" else slice(border, train)
    return digits.train_images[part], digits.train_labels[part]


def _balanced(labels: Labels, count: int, rng: np.random.Generator) -> Labels:
    """Returns sorted indices of `count` labels, balanced over the classes as far as possible."""
    order = rng.permutation(len(labels))
    rank = np.empty_like(order)  # position of an image within its class, in this order
    for label in range(CLASSES):
        members = order[labels[order] == label]
        rank[members] = np.arange(len(members))
    return np.sort(order[np.argsort(rank[order], kind="stable")[:count]])


def _factor(labels: Labels, percent: float, rng: np.random.Generator) -> Labels:
    """Returns the digit's class with `percent` probability, else a class drawn from all ten."""
    own = rng.random(len(labels)) * 100 < percent
    return np.where(own, labels, rng.integers(CLASSES, size=len(labels)))


def _noise(labels: Labels, variance: float, drift: bool, rng: np.random.Generator) -> Colours:
    """Returns normal noise [N, 3] on colours of classes [N]; with drift, the running sum within the class.

    The drifting set was saved from eight parallel loaders, which took the images in turn. Each had its own
    copy of the class colours.
    """
    noise = rng.normal(0, math.sqrt(variance), (len(labels), 3))
    if drift:
        loader = np.arange(len(labels)) % DRIFT_LOADERS
        for walk in range(DRIFT_LOADERS * CLASSES):
            members = (loader == walk // CLASSES) & (labels == walk % CLASSES)
            noise[members] = np.cumsum(noise[members], axis=0)
    return noise


def _choice(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise DataError(field, f"{value!r} is not one of {', '.join(allowed)}")


def _number(field: str, value: float | None, usual: float, highest: float) -> float:
    """Returns `value`, or `usual` for None. Raises DataError unless it is a number within 0 to `highest`."""
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest:
        raise DataError(field, f"{value!r} is not a number within 0 to {highest:g}")
    return float(value)
