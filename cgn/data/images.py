"""Labelled training images: a variant of MNIST, or a user's own folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cgn.data.digits import CLASSES
from cgn.data.folder import load_folder
from cgn.data.source import DataError
from cgn.data.variants import make_variant
from cgn.datasets import DATASETS, FOLDER, RESOLUTIONS

if TYPE_CHECKING:  # importing this module must not import torch
    import torch

VARIANT_RESOLUTION = 32


@dataclass(frozen=True)
class ImageSet:
    """N images of one split, with their classes.

    Attributes:
        images: float32 [N, 3, R, R] in [-1, 1]. The noise of double-colored MNIST is not clipped, so it
            exceeds the range slightly.
        labels: int64 [N], each in [0, classes); every class has at least one image.
        class_names: class names by label.
        resolution: R, in pixels.
        provenance: origin of the images as plain JSON values; its "notes" are texts for the user.
    """

    images: torch.Tensor
    labels: torch.Tensor
    class_names: list[str]
    resolution: int
    provenance: dict[str, Any]


def training_images(
    dataset: str, split: str, *, folder: str = "", resolution: int = 32, limit: int = 0
) -> ImageSet:
    """Returns a split of a data set, with the data set's training biases.

    Args:
        dataset: one of DATASETS.
        split: "train" or "validation"; for a variant also "test", for a folder also "all".
        folder: path of the images; for the data set "folder" only.
        resolution: pixels a side, 32 or 64; the variants have 32.
        limit: number of images, balanced over the classes as far as possible; 0: all.

    Raises:
        DataError: a bad argument or unusable data.
    """
    if dataset not in DATASETS:
        raise DataError("dataset", f"{dataset!r} is not one of {', '.join(DATASETS)}")
    if resolution not in RESOLUTIONS:
        raise DataError("resolution", f"{resolution!r} is not one of {', '.join(map(str, RESOLUTIONS))}")
    if bool(folder) != (dataset == FOLDER):
        cure = 'give the path of your images, or another dataset than "folder"'
        if folder:
            cure = f"is for the data set {FOLDER!r} only; leave it out with {dataset}"
        raise DataError("folder", cure)

    import torch

    if dataset == FOLDER:
        images, labels, names, provenance = load_folder(folder, split, resolution, limit)
        return ImageSet(torch.from_numpy(images), torch.from_numpy(labels), names, resolution, provenance)
    if resolution != VARIANT_RESOLUTION:
        raise DataError("resolution", f"{dataset} has {VARIANT_RESOLUTION} pixels a side, not {resolution}")
    variant = make_variant(dataset, split, limit=limit)
    digits = [str(digit) for digit in range(CLASSES)]
    provenance = {"dataset": dataset, **variant.provenance}
    return ImageSet(variant.images, variant.labels, digits, VARIANT_RESOLUTION, provenance)
