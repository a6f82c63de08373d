"""Where digits and textures come from: the bundled files, a download, or a data folder."""

import gzip
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cgn.data import (
    DataError,
    download,
    load_digits,
    load_textures,
    make_variant,
)
from cgn.data.digits import BUNDLED_FILE, load_bundled
from cgn.data.textures import DTD_BACKGROUND, DTD_OBJECT
from tests.cgn.data.conftest import MNIST_FILES, idx


def test_a_fresh_clone_uses_the_bundled_digits_and_procedural_textures(download_dir: Path) -> None:
    digits, textures = load_digits(), load_textures()
    assert (digits.source, textures.source) == ("bundled subset", "procedural")
    assert digits.train_images.shape == (8000, 28, 28) and digits.train_images.dtype == np.uint8
    assert digits.test_images.shape == (2000, 28, 28) and digits.test_labels.dtype == np.int64
    for labels in (digits.train_labels, digits.test_labels):
        share = np.bincount(labels, minlength=10) / len(labels)
        assert share.min() > 0.085 and share.max() < 0.12  # as in MNIST, 5 is the rarest and 1 the commonest
    assert textures.object.shape == textures.background.shape == (10, 150, 150, 3)
    notes = str(make_variant("wildlife_mnist", "train", limit=10).provenance["notes"])
    assert "bundled subset" in notes and "procedural" in notes


def test_the_bundled_digits_are_those_of_mnist() -> None:
    with np.load(BUNDLED_FILE) as stored:
        indices = stored["indices"].astype(int)
    assert len(np.unique(indices)) == 10_000
    assert (indices[:8000] < 50_000).all() and (indices[8000:] >= 50_000).all() and indices.max() < 60_000
    digits, bundled = load_digits(), load_bundled()
    if digits.source != "bundled subset":  # the full MNIST is at hand: compare
        assert (digits.train_images[indices[:8000]] == bundled.train_images).all()
        assert (digits.train_labels[indices[8000:]] == bundled.test_labels).all()


def test_textures_of_different_classes_can_be_told_apart(download_dir: Path) -> None:
    """Crops are matched to the class with the nearest mean colour and contrast."""
    textures = load_textures()
    for kind in (textures.object, textures.background):
        crops = kind[:, :128, :128].reshape(10, 4, 32, 4, 32, 3).swapaxes(2, 3).reshape(10, 16, 1024, 3)
        crops = crops.astype(float)
        looks = np.concatenate([crops.mean(2), crops.std(2)], -1)  # [class, crop, 6]
        distance = np.linalg.norm(looks[:, :, None] - looks.mean(1), axis=-1)
        assert (distance.argmin(-1) == np.arange(10)[:, None]).mean() > 0.85


def test_cgn_data_dir_comes_first(
    download_dir: Path, full_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CGN_DATA_DIR", str(full_data))
    digits, textures = load_digits(), load_textures()
    assert digits.source == textures.source == "CGN_DATA_DIR"
    assert (len(digits.train_labels), len(digits.test_labels)) == (60_000, 10_000)
    assert (digits.train_images[10_000:20_000] == digits.test_images[::-1]).all()
    assert np.abs(textures.object[:, 75, 75, 0] - np.arange(120, 220, 10)).max() <= 2


def test_a_download_is_used_when_it_is_whole(download_dir: Path, full_data: Path, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"  # as torchvision leaves it
    raw.mkdir(parents=True)
    for name in MNIST_FILES:
        (raw / f"{name}-ubyte.gz").write_bytes((full_data / "mnist" / f"{name}-ubyte.gz").read_bytes())
    images = tmp_path / "dtd" / "images"
    for category, names in (("striped", DTD_OBJECT), ("veined", DTD_BACKGROUND)):
        (images / category).mkdir(parents=True)
        for label, name in enumerate(names):
            Image.new("RGB", (30, 20), (10 * label,) * 3).save(images / category / name)
    download_dir.mkdir(parents=True)
    download.keep_mnist(raw, download_dir)
    download.keep_textures(images, download_dir)
    digits, textures = load_digits(), load_textures()
    assert digits.source == textures.source == "download"
    assert len(digits.train_labels) == 60_000
    assert np.abs(textures.background[:, 0, 0, 0] - np.arange(0, 100, 10)).max() <= 2
    (download_dir / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz is missing; run `make data` again"):
        load_digits()


def test_a_failed_download_says_so_and_leaves_nothing(
    download_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nothing listens there
    monkeypatch.delenv("no_proxy", raising=False)
    assert download.main() == 1
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: the download failed") and "CGN_DATA_DIR" in last
    assert list(download_dir.iterdir()) == []


def header(magic: int, *sizes: int) -> bytes:
    return gzip.compress(struct.pack(f">{1 + len(sizes)}I", magic, *sizes))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda whole: None, "is missing"),
        (lambda whole: b"not gzip", "is not a whole gzip file"),
        (lambda whole: whole[:-20], "is not a whole gzip file"),
        (lambda whole: whole[:-8] + b"sums" + whole[-4:], "is not a whole gzip file"),
        (lambda whole: gzip.compress(b"\0\0\x08"), "ends within its header"),
        (lambda whole: header(0x801, 60_000, 28, 28), "starts with 0x801"),
        (lambda whole: header(0x803, 3, 28, 28), r"holds an array of \(3, 28, 28\)"),
        (lambda whole: header(0x803, 60_000, 28, 28), "holds fewer than"),
        (lambda whole: whole + gzip.compress(b"\0"), "holds more than"),
    ],
)
def test_a_damaged_file_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    full_data: Path,
    damage: Callable[[bytes], bytes | None],
    problem: str,
) -> None:
    monkeypatch.setenv("CGN_DATA_DIR", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    path = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    content = damage((full_data / "mnist" / path.name).read_bytes())
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path} {problem}") as caught:
        load_digits()
    assert caught.value.field == "CGN_DATA_DIR"
    assert "unset CGN_DATA_DIR" in str(caught.value) and "\n" not in str(caught.value)


def test_labels_beyond_nine_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, full_data: Path
) -> None:
    monkeypatch.setenv("CGN_DATA_DIR", str(tmp_path))
    shutil.copytree(full_data / "mnist", tmp_path / "mnist")
    path = tmp_path / "mnist" / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(0x801, np.full(60_000, 10))))
    with pytest.raises(DataError, match=f"{path} holds the label 10"):
        load_digits()


def test_a_data_folder_without_its_parts_is_an_error(
    monkeypatch: pytest.MonkeyPatch, full_data: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("CGN_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="there is no folder"):
        load_digits()
    textures = tmp_path / "textures"
    for kind in ("object", "background"):
        (textures / kind).mkdir(parents=True)
        for file in (full_data / "textures" / kind).iterdir():
            (textures / kind / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("CGN_DATA_DIR", str(tmp_path))
    (textures / "object" / "3_flat.jpg").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="3_flat.jpg is not a whole image"):
        load_textures()
    (textures / "object" / "3_flat.jpg").unlink()
    with pytest.raises(DataError, match="is 0 files, class 3 needs one"):
        load_textures()


# Splits and draws
