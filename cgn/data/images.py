"""Labelled images to train on, wherever they come from: a variant of MNIST, or a user's own folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cgn.data.digits import CLASSES
from cgn.data.folder import load_folder
from cgn.data.source import DataError
from cgn.data.variants import make_variant
from cgn.datasets import DATASETS, FOLDER, RESOLUTIONS

if TYPE_CHECKING:  # naming a data set must not cost the import of torch
    import torch

VARIANT_RESOLUTION = 32


@dataclass(frozen=True)
class ImageSet:
    """N images of one split, with their classes.

    images: float32 [N, 3, R, R] in [-1, 1] (double-colored noise is not clipped and passes it slightly).
    labels: int64 [N], each in [0, classes); every class has at least one image.
    class_names: by label.
    resolution: R, in pixels.
    provenance: plain JSON values that say where the images come from; its "notes" are for a user to read.
    """

    images: torch.Tensor
    labels: torch.Tensor
    class_names: list[str]
    resolution: int
    provenance: dict[str, Any]


def training_images(
    dataset: str, split: str, *, folder: str = "", resolution: int = 32, limit: int = 0
) -> ImageSet:
    """A split of a data set, with the biases that the data set has for training.

    dataset: one of DATASETS.
    split: "train", "validation" or, of a variant, "test"; of a folder also "all".
    folder: path of the images, for the data set "folder" and no other.
    resolution: pixels a side, 32 or 64; the variants are 32.
    limit: take only so many images, classes in equal numbers as far as they last; 0 takes all.

    Raises DataError for a bad argument or unusable data.
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
    made = make_variant(dataset, split, limit=limit)
    digits = [str(digit) for digit in range(CLASSES)]
    provenance = {"dataset": dataset, **made.provenance}
    return ImageSet(made.images, made.labels, digits, VARIANT_RESOLUTION, provenance)
