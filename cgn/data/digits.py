"""Handwritten digits: the full MNIST from IDX files, or the bundled subset of it."""

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgn.data.source import find, unusable

BUNDLED = "bundled subset"
TERMS = "MNIST, digits by Y. LeCun and C. Cortes: CC BY-SA 3.0"
BUNDLED_FILE = Path(__file__).resolve().parent / "bundled" / "digits.npz"
BUNDLED_TRAIN = 8_000  # training digits of the subset; the other 2,000 are for tests

SIDE = 28
CLASSES = 10
_IMAGES_MAGIC = 0x803  # unsigned bytes, three dimensions
_LABELS_MAGIC = 0x801  # unsigned bytes, one dimension


@dataclass(frozen=True)
class Digits:
    """Digits and their source.

    images: uint8 [N, 28, 28], 0 (paper) to 255 (ink); labels: int64 [N], 0 to 9.
    Full MNIST has 60,000 training and 10,000 test digits, the bundled subset 8,000 and 2,000.
    """

    source: str  # "CGN_DATA_DIR", "download" or "bundled subset"
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def load_digits() -> Digits:
    """Returns MNIST from CGN_DATA_DIR, else from the download of `make data`, else the bundled subset.

    Raises DataError if the first of these that exists is unusable; the error names the file and the cure.
    """
    place = find("mnist")
    if place is None:
        return load_bundled()
    source, folder = place
    return Digits(
        source,
        *_read_pair(source, folder, "train", 60_000),
        *_read_pair(source, folder, "t10k", 10_000),
    )


def load_bundled() -> Digits:
    """Returns the 10,000 bundled digits of MNIST's training file (see bundled/NOTICE)."""
    with np.load(BUNDLED_FILE, allow_pickle=False) as stored:
        images: NDArray[np.uint8] = stored["images"]
        labels = stored["labels"].astype(np.int64)
    train, test = slice(0, BUNDLED_TRAIN), slice(BUNDLED_TRAIN, None)
    return Digits(BUNDLED, images[train], labels[train], images[test], labels[test])


def _read_pair(
    source: str, folder: Path, name: str, count: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = _read_idx(source, folder / f"{name}-images-idx3-ubyte.gz", _IMAGES_MAGIC, (count, SIDE, SIDE))
    path = folder / f"{name}-labels-idx1-ubyte.gz"
    labels = _read_idx(source, path, _LABELS_MAGIC, (count,))
    if labels.max() >= CLASSES:
        raise unusable(source, path, f"holds the label {labels.max()}, MNIST's are 0 to 9")
    return images, labels.astype(np.int64)


def _read_idx(source: str, path: Path, magic: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Reads a gzipped IDX file: big-endian magic and sizes, then bytes. All three are checked."""
    size = int(np.prod(shape))
    header = struct.Struct(f">{1 + len(shape)}I")
    try:
        with gzip.open(path) as file:
            # One more byte than expected reveals a file that is too long without unpacking all of it.
            data = file.read(header.size + size + 1)
    except FileNotFoundError:
        raise unusable(source, path, "is missing") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise unusable(source, path, f"is not a whole gzip file ({error})") from None
    except OSError as error:
        raise unusable(source, path, f"cannot be read ({error.strerror})") from None
    if len(data) < header.size:
        raise unusable(source, path, f"ends within its header, after {len(data)} bytes")
    file_magic, *file_shape = header.unpack_from(data)
    if file_magic != magic:
        raise unusable(source, path, f"starts with {file_magic:#x}, this IDX file starts with {magic:#x}")
    if tuple(file_shape) != shape:
        raise unusable(source, path, f"holds an array of {tuple(file_shape)}, MNIST's is {shape}")
    if len(data) != header.size + size:
        longer = "more" if len(data) > header.size + size else "fewer"
        raise unusable(source, path, f"holds {longer} than the {size} bytes that its header promises")
    return np.frombuffer(data, np.uint8, offset=header.size).reshape(shape)
