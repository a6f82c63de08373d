"""The MNIST variants: what their images are made of."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from cgn.data import (
    SPLITS,
    VARIANTS,
    DataError,
    VariantSet,
    load_digits,
    load_textures,
    make_variant,
    variants,
)


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
