"""A folder of a user's own images: one sub-folder per class, PNG or JPEG, of any size and mode.

An image is rotated according to its EXIF data, put on black if it is transparent, scaled so that its shorter
side has the requested resolution (bicubic, antialiased), and cropped to the central square.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from cgn.data.source import DataError
from cgn.datasets import MOST_CLASSES

SPLITS = ("train", "validation", "all")
SUFFIXES = (".png", ".jpg", ".jpeg")
FEWEST_IMAGES = 10  # per class
VALIDATION_SHARE = 0.1
_DRAFT = 4  # a JPEG is decoded at about this multiple of its final size at most
_THREADS = 8


def load_folder(
    folder: str, split: str, resolution: int, limit: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[str], dict[str, Any]]:
    """Returns images [N, 3, R, R] in [-1, 1], labels [N], class names by label, and provenance.

    Classes are numbered in the order of their names.

    Args:
        folder: contains one folder per class, 2 to MOST_CLASSES, each with FEWEST_IMAGES images or more.
            Names that begin with a dot are ignored. So are files other than PNG and JPEG; the notes count
            them.
        split: "train", "validation" or "all". A hash of class and file name decides the split of an image, so
            it does not change when other images are added or removed. About a tenth, and at least one image
            per class, is for validation.
        resolution: pixels a side.
        limit: number of images, balanced over the classes as far as possible; 0: all.

    Raises:
        DataError: a bad argument or an unusable folder.
    """
    if split not in SPLITS:
        raise DataError("split", f"{split!r} is not one of {', '.join(SPLITS)}, which are all a folder has")
    root = Path(folder).expanduser()
    names, files, passed_over = _list_classes(root)
    members = [_members(name, paths, split) for name, paths in zip(names, files, strict=True)]
    available = sum(map(len, members))
    if limit and not len(names) <= limit <= available:
        allowed = f"0 (all) or {len(names)} (the classes) to {available}, the {split} images of {root}"
        raise DataError("limit", f"{limit} is not {allowed}")
    chosen = _evenly(members, limit or available)
    paths = [path for of_class in chosen for path in of_class]
    images, digest = _load_all(root, paths, resolution)
    counts = {name: len(of_class) for name, of_class in zip(names, chosen, strict=True)}
    provenance: dict[str, Any] = {
        "dataset": "folder",
        "folder": str(root.resolve()),
        "split": split,
        "count": len(paths),
        "count_by_class": counts,
        "resolution": resolution,
        "fit": "shorter side scaled (bicubic), centre cut out",
        "digest": digest,
        "notes": _notes(passed_over),
        "terms": [],
    }
    return images, np.repeat(np.arange(len(names)), list(counts.values())), names, provenance


def _list_classes(root: Path) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns the class names, the image files of each, and all other files. Raises DataError."""
    example = f"give one such as {root / 'sparrow' / '0001.jpg'}"
    if not root.is_dir():
        raise DataError("folder", f"{root} is not a folder; name one that holds a folder of images per class")
    names, loose = _entries(root)
    if images := [name for name in loose if _is_image(name)]:
        raise DataError("folder", f"{root / images[0]} lies beside the classes; move it into one of them")
    if not 2 <= len(names) <= MOST_CLASSES:
        count = {0: "no sub-folders", 1: "one sub-folder"}.get(len(names), f"{len(names)} sub-folders")
        raise DataError("folder", f"{root} has {count}, needs 2 to {MOST_CLASSES}, one per class; {example}")
    files = []
    passed_over = loose
    for name in names:
        if not name.isprintable() or name != name.strip() or len(name) > 100:
            rule = "up to 100 printable characters of UTF-8, with no space at either end"
            raise DataError("folder", f"{name!r} in {str(root)!r} cannot be a class name; use {rule}")
        deeper, content = _entries(root / name)
        if deeper:
            raise DataError("folder", f"{root / name / deeper[0]} is a folder inside a class; move it out")
        images = [file for file in content if _is_image(file)]
        if len(images) < FEWEST_IMAGES:
            raise DataError(
                "folder", f"{root / name} has {len(images)} PNG or JPEG images, needs {FEWEST_IMAGES} or more"
            )
        files.append(images)
        passed_over = passed_over + [f"{name}/{file}" for file in content if not _is_image(file)]
    return names, files, passed_over


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the names of the folders and of the files in a folder, sorted, without hidden ones."""
    folders: list[str] = []
    files: list[str] = []
    try:
        for entry in os.scandir(folder):
            if not entry.name.startswith("."):
                (folders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        raise DataError("folder", f"{folder} cannot be listed ({error.strerror}); make it readable") from None
    return sorted(folders), sorted(files)


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _notes(passed_over: list[str]) -> list[str]:
    if not passed_over:
        return []
    return [f"{len(passed_over)} files that are no PNG or JPEG were passed over, such as {passed_over[0]!r}"]


def _members(name: str, files: list[str], split: str) -> list[str]:
    """Returns the files of a class in a split, as "class/file", in the order of their hash."""
    ranked = sorted((_hash(f"{name}/{file}"), f"{name}/{file}") for file in files)
    below = sum(rank < VALIDATION_SHARE for rank, _ in ranked)
    if split == "all":
        return [path for _, path in ranked]
    border = min(max(below, 1), len(ranked) - 1)  # neither split is empty
    return [path for _, path in (ranked[:border] if split == "validation" else ranked[border:])]


def _hash(path: str) -> float:
    """Returns a pseudo-random number in [0, 1) that depends on the text alone."""
    digest = hashlib.blake2b(os.fsencode(path), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _evenly(members: list[list[str]], count: int) -> list[list[str]]:
    """Returns ``count`` files, balanced over the classes as far as possible, each class sorted by name."""
    turns = sorted((turn, label) for label, paths in enumerate(members) for turn in range(len(paths)))
    chosen: list[list[str]] = [[] for _ in members]
    for turn, label in turns[:count]:
        chosen[label].append(members[label][turn])
    return [sorted(paths) for paths in chosen]


def _load_all(root: Path, paths: list[str], resolution: int) -> tuple[NDArray[np.float32], str]:
    """Returns all images, float32 [N, 3, R, R] in [-1, 1], and a digest of their names and files."""
    images = np.empty((len(paths), 3, resolution, resolution), np.float32)
    state = hashlib.blake2b(digest_size=16)

    def load(path: str) -> tuple[NDArray[np.uint8], bytes]:
        return _load(root / path, resolution)

    # Pillow releases Python's lock while it decodes and scales.
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        loaded: Iterator[tuple[NDArray[np.uint8], bytes]] = pool.map(load, paths)
        for i, (levels, digest) in enumerate(loaded):
            images[i] = levels.transpose(2, 0, 1)
            state.update(os.fsencode(paths[i]) + b"\0" + digest)
    images /= 127.5
    images -= 1
    return images, f"blake2b:{state.hexdigest()}"


def _load(path: Path, resolution: int) -> tuple[NDArray[np.uint8], bytes]:
    """Returns one image, uint8 [R, R, 3], and the digest of its file."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            image.draft(None, (_DRAFT * resolution, _DRAFT * resolution))
            picture = _to_rgb(ImageOps.exif_transpose(image))
        square = ImageOps.fit(picture, (resolution, resolution), Image.Resampling.BICUBIC)
    except Exception as error:  # Pillow raises many kinds of exceptions for a damaged file
        problem = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        raise DataError(
            "folder", f"{path} is no readable PNG or JPEG{problem}; replace or remove it"
        ) from None
    return np.asarray(square), hashlib.blake2b(data, digest_size=16).digest()


def _to_rgb(image: Image.Image) -> Image.Image:
    """Returns an image of any mode as RGB, on black where it is transparent."""
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip to 8 bits
        image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), colours).convert("RGB")
    return image.convert("RGB")
