"""The MNIST variants: where digits and textures come from, and what the images are made of."""

import gzip
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from cgn.data import (
    SPLITS,
    VARIANTS,
    DataError,
    VariantSet,
    download,
    load_digits,
    load_textures,
    make_variant,
    source,
    variants,
)
from cgn.data.digits import BUNDLED_FILE, load_bundled
from cgn.data.textures import DTD_BACKGROUND, DTD_OBJECT

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


@pytest.mark.parametrize("variant", VARIANTS)
def test_splits_are_those_of_the_paper(
    full_data: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    monkeypatch.setenv("CGN_DATA_DIR", str(full_data))
    digits = load_digits()
    train = 60_000 if variant == "colored_mnist" else 50_000
    expected = {
        "train": digits.train_labels[: train - 5_000],
        "validation": digits.train_labels[train - 5_000 : train],
        "test": digits.test_labels if variant == "colored_mnist" else digits.train_labels[50_000:],
    }
    for split in SPLITS:
        built = make_variant(variant, split)
        assert (built.labels.numpy() == expected[split]).all()
        assert built.provenance["digits"] == "CGN_DATA_DIR" and built.provenance["notes"] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_split_of_the_bundled_digits(download_dir: Path, variant: str) -> None:
    for split, count in (("train", 7200), ("validation", 800), ("test", 2000)):
        built = make_variant(variant, split)
        assert built.images.shape == (count, 3, 32, 32) and built.images.dtype == torch.float32
        assert built.masks.shape == (count, 32, 32) and built.masks.dtype == torch.bool
        for labels in (built.labels, built.object_labels, built.background_labels):
            assert labels.shape == (count,) and labels.dtype == torch.int64
        assert built.images.min() >= -1.15 and built.images.max() <= 1.15
        assert 0.05 < built.masks.float().mean() < 0.25
        assert json.loads(json.dumps(built.provenance)) == built.provenance
        own = (built.object_labels == built.labels).float().mean()
        assert own == 1 if split != "test" else 0.07 < own < 0.13


def same(a: VariantSet, b: VariantSet) -> bool:
    return torch.equal(a.images, b.images) and torch.equal(a.object_labels, b.object_labels)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_seed_repeats_exactly_and_another_differs(download_dir: Path, variant: str) -> None:
    first = make_variant(variant, "test", seed=2**64 - 1)
    assert same(first, make_variant(variant, "test", seed=2**64 - 1))
    assert not same(first, make_variant(variant, "test", seed=1))
    whole = {image.numpy().tobytes() for image in first.images}
    part = make_variant(variant, "test", seed=2**64 - 1, limit=203)
    assert all(image.numpy().tobytes() in whole for image in part.images)
    counts = torch.bincount(part.labels)
    assert len(part.labels) == 203 and counts.min() == 20 and counts.max() == 21


@pytest.mark.parametrize(("percent", "own"), [(0, 0.1), (50, 0.55), (90, 0.91), (100, 1.0)])
def test_correlation_is_the_share_that_follows_the_digit(
    download_dir: Path, percent: int, own: float
) -> None:
    built = make_variant(
        "double_colored_mnist", "train", object_correlation=percent, background_correlation=30
    )
    follows = [(part == built.labels).double() for part in (built.object_labels, built.background_labels)]
    assert follows[0].mean() == pytest.approx(own, abs=0.02)
    assert follows[1].mean() == pytest.approx(0.37, abs=0.02)
    if percent < 100:  # the two are drawn independently
        both = torch.corrcoef(torch.stack(follows))[0, 1]
        assert abs(both) < 0.05


# What the images are made of


def colours(built: VariantSet, where: torch.Tensor) -> torch.Tensor:
    """Mean colour [N, 3] in [0, 1] of the pixels that `where` [N, 32, 32] marks."""
    weights = where[:, None].double()
    return ((built.images + 1) / 2 * weights).sum((2, 3)) / weights.sum((2, 3))


def test_colored_digits_keep_their_soft_edges_on_black(download_dir: Path) -> None:
    built = make_variant("colored_mnist", "validation", colour_variance=0)
    palette = torch.tensor(variants.COLORED_PALETTE)[built.object_labels]
    grey = torch.tensor(load_digits().train_images[-800:] / 255)
    nearest = torch.arange(32) * 28 // 32
    ink = grey[:, nearest[:, None], nearest]
    assert torch.allclose(
        (built.images + 1).double() / 2, palette[:, :, None, None] * ink[:, None], atol=1e-6
    )
    assert torch.equal(built.masks, ink > 0.1)
    assert not built.background_labels.any()


def test_colour_noise_of_colored_has_the_variance_of_the_paper(download_dir: Path) -> None:
    built = make_variant("colored_mnist", "train")
    brightest = built.images.amax((2, 3)).double() / 2 + 0.5  # full ink shows the colour, all but always
    noise = (brightest - torch.tensor(variants.COLORED_PALETTE)[built.object_labels])[built.labels == 3, 1]
    assert noise.std() == pytest.approx(
        0.02**0.5, rel=0.1
    )  # green of class 3 lies in the middle: no clipping
    assert built.images.min() == -1 and built.images.max() == 1


@pytest.mark.parametrize("split", ["train", "test"])
def test_double_colored_has_a_flat_colour_each_with_its_own_noise(download_dir: Path, split: str) -> None:
    built = make_variant("double_colored_mnist", split)
    objects = colours(built, built.masks) - torch.tensor(variants.OBJECT_PALETTE)[built.object_labels]
    grounds = (
        colours(built, ~built.masks) - torch.tensor(variants.BACKGROUND_PALETTE)[built.background_labels]
    )
    for noise in (objects, grounds):
        assert noise.std() == pytest.approx(0.01, rel=0.05) and abs(noise.mean()) < 0.001
    assert abs(torch.corrcoef(torch.stack([objects.flatten(), grounds.flatten()]))[0, 1]) < 0.05
    assert built.images.max() > 1  # not clipped
    assert (variants.OBJECT_PALETTE[6] == variants.BACKGROUND_PALETTE[0]).all()
    first = built.images[0].flatten(1)
    assert len(first.unique(dim=1).T) == 2  # nothing but the two colours


def test_drift_adds_the_noise_up(download_dir: Path) -> None:
    built = make_variant("double_colored_mnist", "train", drift=True)
    walk = colours(built, built.masks) - torch.tensor(variants.OBJECT_PALETTE)[built.object_labels]
    loader = torch.arange(7200) % 8
    walks = [walk[(loader == n) & (built.object_labels == c)] for n in range(8) for c in range(10)]
    assert torch.cat([walk.diff(dim=0) for walk in walks]).std() == pytest.approx(0.01, rel=0.05)
    assert walk.std() > 0.04  # about 0.01 * sqrt(90 / 2)


def test_wildlife_fills_digit_and_background_with_crops_of_their_classes(download_dir: Path) -> None:
    built = make_variant("wildlife_mnist", "test", limit=60)
    textures = load_textures()
    pixels = ((built.images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for image, mask, o, b in zip(
        pixels,
        built.masks.numpy(),
        built.object_labels,
        built.background_labels,
        strict=True,
    ):
        for texture, where in ((textures.object[o], mask), (textures.background[b], ~mask)):
            padded = np.pad(texture, ((3, 3), (3, 3), (0, 0)), mode="reflect")
            windows = sliding_window_view(padded, (32, 32), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
            y, x = np.nonzero(where)
            near = (windows[:, :, y[:5], x[:5]] == image[y[:5], x[:5]]).all((2, 3))
            assert (windows[near][:, y, x] == image[y, x]).all((1, 2)).any()


def test_wildlife_reads_the_textures_of_the_data_folder(
    full_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CGN_DATA_DIR", str(full_data))
    built = make_variant("wildlife_mnist", "test", limit=500)
    for where, labels, base in (
        (built.masks, built.object_labels, 120),
        (~built.masks, built.background_labels, 0),
    ):
        assert (colours(built, where)[:, 0] * 255 - (base + 10 * labels)).abs().max() <= 2
    assert built.provenance["textures"] == "CGN_DATA_DIR"


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("variant", {"variant": "fashion"}),
        ("split", {"split": "dev"}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 2**64}),
        ("object_correlation", {"object_correlation": 101}),
        ("object_correlation", {"object_correlation": float("nan")}),
        ("background_correlation", {"background_correlation": -1}),
        ("background_correlation", {"variant": "colored_mnist", "background_correlation": 50}),
        ("colour_variance", {"variant": "colored_mnist", "colour_variance": -0.1}),
        ("colour_variance", {"variant": "wildlife_mnist", "colour_variance": 0.02}),
        ("drift", {"variant": "wildlife_mnist", "drift": True}),
        ("limit", {"limit": -1}),
        ("limit", {"limit": 2001}),
    ],
)
def test_a_bad_argument_is_named(download_dir: Path, field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(DataError) as caught:
        make_variant(**({"variant": "double_colored_mnist", "split": "test"} | arguments))
    assert caught.value.field == field and str(caught.value).startswith(f"{field}: ")


def test_naming_the_variants_does_not_import_torch() -> None:
    code = "import sys, cgn.data; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
