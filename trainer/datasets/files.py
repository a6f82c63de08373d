"""A data set of counterfactuals on disk, in two layouts; of equal images, equal bytes.

image_folder: ``<class folder>/<image number>.png``, which torchvision's ImageFolder reads: it numbers the
classes in the order of their folders' names, and so these begin with the number where the names alone would
come in another order. webdataset: tar files ``shard-000000.tar`` and so on, each image as ``<number>.png``,
``.cls`` (its class number) and ``.json`` (its factors) side by side, as the webdataset package reads. Either
has a ``labels.csv`` with a line for each image.
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
    """A folder's name for each class, in the order of the labels also when sorted."""
    names = card.class_ids or [_UNSAFE.sub("_", name) for name in card.class_names]
    fine = names == sorted(set(names)) and not any(name.startswith(".") for name in names)
    if fine:
        return list(names)
    digits = len(str(len(names) - 1))
    return [f"{label:0{digits}d}_{name}" for label, name in enumerate(names)]


def image_file(layout: str, folders: Sequence[str], number: int, label: int, shard_images: int) -> str:
    """Where an image is, below the data set's directory; of a tar file, the tar file."""
    if layout == IMAGE_FOLDER:
        return f"{folders[label]}/{number:08d}.png"
    return f"shard-{number // shard_images:06d}.tar"


def write_part(
    directory: Path, layout: str, folders: Sequence[str], start: int, images: Pictures, plan: Plan, shard: int
) -> Path | None:
    """Writes the images ``start`` and following, N of them, with their factors.

    shard: images of a tar file; N are a whole one, or the last. Returns the tar file, if it is one.
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
    written = io.BytesIO()
    Image.fromarray(image).save(written, "png")
    return written.getvalue()


def _factors(plan: Plan, place: int) -> dict[str, int]:
    """Label and seed of each mechanism. (Seeds are those of rows; jitter comes on top of them.)"""
    found = {}
    for mechanism in MECHANISMS:
        found[f"{mechanism}_label"] = int(plan[mechanism].labels[place])
        found[f"{mechanism}_seed"] = int(plan[mechanism].seeds[place])
    return found


def write_labels(
    directory: Path,
    layout: str,
    card: ModelCard,
    images: int,
    shard: int,
    draw: Callable[[int, int], Plan],
) -> Path:
    """Writes labels.csv. draw: the factors of a part of the stream."""
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
                told = [factors[column] for column in columns]
                rows.writerow([number, where, label, card.class_names[label], *told])
    return path
