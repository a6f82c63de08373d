"""Data folders for the tests of data sets."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cgn.data import (
    download,
    source,
)
from cgn.data.digits import load_bundled

MNIST_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


@pytest.fixture
def download_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No CGN_DATA_DIR, and an empty place to download to: what a fresh clone has."""
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    folder = tmp_path / "var" / "data"
    monkeypatch.setattr(source, "DOWNLOAD_DIR", folder)
    monkeypatch.setattr(download, "DOWNLOAD_DIR", folder)
    return folder


def idx(magic: int, array: NDArray[np.generic]) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="session")
def full_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of MNIST's sizes: the bundled digits again and again. Textures are one colour a class."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    digits = load_bundled()
    images = np.concatenate([digits.train_images, digits.test_images])
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    arrays = (np.tile(images, (6, 1, 1)), np.tile(labels, 6), images[::-1], labels[::-1])
    for name, array in zip(MNIST_FILES, arrays, strict=True):
        content = idx(0x803 if array.ndim == 3 else 0x801, array)
        (folder / "mnist" / f"{name}-ubyte.gz").write_bytes(gzip.compress(content, 1))
    for kind, base in (("object", 120), ("background", 0)):
        (folder / "textures" / kind).mkdir(parents=True)
        for label in range(10):
            picture = Image.new("RGB", (200, 100), (base + 10 * label,) * 3)
            picture.save(folder / "textures" / kind / f"{label}_flat.jpg", quality=100)
    return folder


# Sources
