"""A data set of counterfactuals on disk, in two layouts; equal images give equal bytes.

image_folder: ``<class folder>/<image number>.png``, for torchvision's ImageFolder. It numbers the classes in
the order of the folder names. So folder names start with the class number if the names alone would give
another order.

webdataset: tar files ``shard-000000.tar`` and so on, for the webdataset package. An image is a group of
``<number>.png``, ``<number>.cls`` (class number) and ``<number>.json`` (factors).

Both layouts have a ``labels.csv`` with a line for each image.
"""

import csv
import io
import json
import re
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cgn.card import ModelCard
from cgn.noise import MECHANISMS, Mechanism
from cgn.sampling.sampler import Factors
from cgn.store.files import atomic_write
from trainer.datasets.config import IMAGE_FOLDER, WEBDATASET

LABELS = "labels.csv"
_UNSAFE = re.compile(r"[^\w.-]+")
_MODE = 0o644

Plan = dict[Mechanism, Factors]
Pictures = NDArray[np.uint8]  # (N, R, R, 3)


def class_folders(card: ModelCard) -> list[str]:
    """Returns the folder name of each class. Sorting the names keeps the order of the labels."""
    names = card.class_ids or [_UNSAFE.sub("_", name) for name in card.class_names]
    usable = names == sorted(set(names)) and not any(name.startswith(".") for name in names)
    if usable:
        return list(names)
    digits = len(str(len(names) - 1))
    return [f"{label:0{digits}d}_{name}" for label, name in enumerate(names)]


def image_file(layout: str, folders: Sequence[str], number: int, label: int, shard_images: int) -> str:
    """Returns the path of an image in the data set's directory; in the layout webdataset, of its tar file."""
    if layout == IMAGE_FOLDER:
        return f"{folders[label]}/{number:08d}.png"
    return f"shard-{number // shard_images:06d}.tar"


def write_part(
    directory: Path, layout: str, folders: Sequence[str], start: int, images: Pictures, plan: Plan, shard: int
) -> Path | None:
    """Writes consecutive images with their factors.

    Args:
        directory: directory of the data set.
        layout: image_folder or webdataset.
        folders: folder name of each class.
        start: number of the first image.
        images: the images, uint8 (N, R, R, 3).
        plan: their factors.
        shard: images per tar file. N is this number, or fewer for the last tar file.

    Returns:
        The tar file; None in the layout image_folder.
    """
    if layout == WEBDATASET:
        return _write_tar(directory / image_file(layout, folders, start, 0, shard), start, images, plan)
    for number, (image, label) in enumerate(zip(images, plan["shape"].labels.tolist(), strict=True), start):
        path = directory / image_file(layout, folders, number, label, shard)
        path.write_bytes(_png(image))
    return None


def _write_tar(path: Path, start: int, images: Pictures, plan: Plan) -> Path:
    # USTAR, the older of the common formats, stores no time and no property of the machine.
    with atomic_write(path) as part, tarfile.open(part, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for place, image in enumerate(images):
            label = int(plan["shape"].labels[place])
            factors = json.dumps(_factors(plan, place), sort_keys=True).encode()
            for suffix, data in (("cls", str(label).encode()), ("json", factors), ("png", _png(image))):
                member = tarfile.TarInfo(f"{start + place:08d}.{suffix}")
                member.size, member.mode = len(data), _MODE
                tar.addfile(member, io.BytesIO(data))
    return path


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def _factors(plan: Plan, place: int) -> dict[str, int]:
    """Returns label and seed of each mechanism. The seeds determine rows; jitter is applied after them."""
    factors = {}
    for mechanism in MECHANISMS:
        factors[f"{mechanism}_label"] = int(plan[mechanism].labels[place])
        factors[f"{mechanism}_seed"] = int(plan[mechanism].seeds[place])
    return factors


def write_labels(
    directory: Path,
    layout: str,
    card: ModelCard,
    images: int,
    shard: int,
    draw: Callable[[int, int], Plan],
) -> Path:
    """Writes labels.csv.

    Args:
        directory: directory of the data set.
        layout: image_folder or webdataset.
        card: card of the CGN.
        images: number of images.
        shard: images per tar file.
        draw: returns the factors of the images ``start`` to ``stop - 1``.
    """
    folders = class_folders(card)
    path = directory / LABELS
    columns = [f"{mechanism}_{what}" for mechanism in MECHANISMS for what in ("label", "seed")]
    with atomic_write(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["number", "file", "label", "class_name", *columns])
        for start in range(0, images, shard):
            stop = min(start + shard, images)
            plan = draw(start, stop)
            for place, label in enumerate(plan["shape"].labels.tolist()):
                number = start + place
                where = image_file(layout, folders, number, label, shard)
                factors = _factors(plan, place)
                values = [factors[column] for column in columns]
                rows.writerow([number, where, label, card.class_names[label], *values])
    return path
