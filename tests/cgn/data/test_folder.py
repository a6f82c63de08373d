"""A user's own folder of images: what is read, how it is cut and split, and what is refused."""

import io
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from cgn.data import DataError, ImageSet, training_images

COLOURS = {"apple": (200, 30, 30), "bottle": (20, 160, 60), "cup": (40, 60, 220)}
ORIENTATION = 0x0112  # EXIF's tag


def write(path: Path, image: Image.Image, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes of one colour each, 40 images of many sizes in PNG and JPEG."""
    for name, colour in COLOURS.items():
        for i in range(40):
            image = Image.new("RGB", (50 + i, 90 - i), colour)
            write(tmp_path / name / f"{i:03d}.{('png', 'jpg', 'JPEG', 'PNG')[i % 4]}", image)
    return tmp_path


def load(root: Path, split: str = "train", **options: Any) -> ImageSet:
    return training_images("folder", split, folder=str(root), **options)


def load_both(root: Path) -> list[ImageSet]:
    return [load(root, split) for split in ("train", "validation")]


def one(root: Path, resolution: int = 32) -> torch.Tensor:
    """The image of a folder whose images are all the same, [3, R, R] in [0, 255]."""
    data = load(root, resolution=resolution)
    assert torch.equal(data.images, data.images[:1].expand_as(data.images))
    return (data.images[0] + 1) * 127.5


def everywhere(root: Path, image: Image.Image, suffix: str = "png", **options: Any) -> Path:
    """A folder of two classes that holds one image and nothing else."""
    out = io.BytesIO()
    image.save(out, {"png": "PNG", "jpg": "JPEG"}[suffix], **options)
    for i in range(20):
        path = root / f"class-{i % 2}" / f"{i}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(out.getvalue())
    return root


# What is read


@pytest.mark.parametrize("resolution", [32, 64])
def test_a_folder_becomes_images_labels_and_names(root: Path, resolution: int) -> None:
    data = load(root, resolution=resolution)
    assert data.class_names == ["apple", "bottle", "cup"]
    assert data.resolution == resolution
    assert data.images.shape[1:] == (3, resolution, resolution)
    assert (data.images.dtype, data.labels.dtype) == (torch.float32, torch.int64)
    for image, label in zip(data.images, data.labels.tolist(), strict=True):
        colour = torch.tensor(list(COLOURS.values())[label]) / 127.5 - 1
        assert (image - colour[:, None, None]).abs().max() < 4 / 127.5
    counts = Counter(data.labels.tolist())
    assert data.provenance["count_by_class"] == {name: counts[i] for i, name in enumerate(data.class_names)}
    assert data.provenance["count"] == len(data.labels) > 80
    assert data.provenance["folder"] == str(root)
    assert json.loads(json.dumps(data.provenance)) == data.provenance


def test_the_middle_is_cut_out_and_scaled_without_jagged_edges(tmp_path: Path) -> None:
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste(Image.new("RGB", (100, 100), "blue"), (100, 0))
    x = one(everywhere(tmp_path / "wide", wide))
    assert x[2, :, 2:-2].min() > 250 and x[0, :, 2:-2].max() < 5
    fine = Image.fromarray((np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8))
    x = one(everywhere(tmp_path / "fine", fine))
    assert (x - 127.5).abs().max() < 10  # averaged, where picking pixels would give black or white


def test_small_images_are_enlarged(tmp_path: Path) -> None:
    x = one(everywhere(tmp_path, Image.new("RGB", (1, 5), (10, 20, 30))), resolution=64)
    assert torch.allclose(x.mean(dim=(1, 2)), torch.tensor([10.0, 20.0, 30.0]), atol=0.01)


def test_every_mode_becomes_rgb(tmp_path: Path) -> None:
    grey = Image.new("L", (40, 40), 200)
    deep = Image.fromarray(np.full((40, 40), 200 * 256 + 17, np.uint16))
    black_and_white = Image.new("1", (40, 40), 1)
    palette = Image.new("RGB", (40, 40), (200, 100, 50)).quantize(4)
    assert [image.mode for image in (grey, deep, black_and_white, palette)] == ["L", "I;16", "1", "P"]
    assert one(everywhere(tmp_path / "grey", grey)).unique().tolist() == [200]
    assert one(everywhere(tmp_path / "deep", deep)).unique().tolist() == [200]
    assert one(everywhere(tmp_path / "bw", black_and_white)).unique().tolist() == [255]
    assert one(everywhere(tmp_path / "palette", palette))[:, 0, 0].round().tolist() == [200, 100, 50]
    cmyk = Image.new("RGB", (40, 40), (200, 100, 50)).convert("CMYK")
    x = one(everywhere(tmp_path / "cmyk", cmyk, "jpg", quality=100))
    assert (x[:, 0, 0] - torch.tensor([200, 100, 50])).abs().max() < 5


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    image = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
    ImageDraw.Draw(image).rectangle((0, 0, 39, 19), (255, 128, 0, 255))
    x = one(everywhere(tmp_path / "rgba", image))
    assert x[:, 5, 5].round().tolist() == [255, 128, 0] and x[:, -5:].max() == 0
    grey = Image.new("LA", (40, 40), (255, 0))
    assert one(everywhere(tmp_path / "la", grey)).max() == 0
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([255, 255, 255])
    assert one(everywhere(tmp_path / "palette", palette, transparency=0)).max() == 0


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_is_turned_as_its_camera_says(tmp_path: Path, suffix: str) -> None:
    image = Image.new("RGB", (40, 40), "black")
    image.paste("white", (0, 0, 40, 20))  # white above
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the camera was held turned: what is above belongs to the right
    x = one(everywhere(tmp_path, image, suffix, exif=exif))
    assert x[:, :, 20:].min() > 230 and x[:, :, :12].max() < 25


def test_hidden_files_do_not_count_and_others_are_noted(root: Path) -> None:
    before = load(root)
    assert before.provenance["notes"] == []
    (root / ".git").mkdir()
    (root / "apple" / ".DS_Store").write_bytes(b"x")
    (root / "README.txt").write_text("three things")
    (root / "cup" / "old.webp").write_bytes(b"x")
    after = load(root)
    assert torch.equal(before.images, after.images)
    (note,) = after.provenance["notes"]
    assert note == "2 files that are no PNG or JPEG were passed over, such as 'README.txt'"


# The split


def test_train_and_validation_share_nothing_and_make_the_whole(root: Path) -> None:
    for i in range(400):
        write(root / "bottle" / f"more-{i}.png", Image.new("RGB", (32, 32), COLOURS["bottle"]))
    train, validation = (load(root, split).provenance["count_by_class"] for split in ("train", "validation"))
    assert all(train[name] and validation[name] for name in COLOURS)
    assert {name: train[name] + validation[name] for name in COLOURS} == {
        "apple": 40,
        "bottle": 440,
        "cup": 40,
    }
    assert 0.07 < validation["bottle"] / 440 < 0.13


def test_all_of_a_folder_is_both_sides_together(root: Path) -> None:
    train, validation = load_both(root)
    everything = load(root, "all")
    assert len(everything.labels) == len(train.labels) + len(validation.labels)
    of_sides = torch.cat([train.images, validation.images]).flatten(1).tolist()
    assert sorted(everything.images.flatten(1).tolist()) == sorted(of_sides)


def test_an_image_stays_on_its_side_when_others_come(tmp_path: Path) -> None:
    for i in range(120):  # each a grey of its own, which names it
        write(tmp_path / f"class-{i % 2}" / f"{i}.png", Image.new("L", (32, 32), i))
    before = load(tmp_path, "validation").images[:, 0, 0, 0]
    for i in range(120, 240):
        write(tmp_path / f"class-{i % 2}" / f"{i}.png", Image.new("L", (32, 32), i))
    after = load(tmp_path, "validation").images[:, 0, 0, 0]
    train = load(tmp_path, "train").images[:, 0, 0, 0]
    assert set(before.tolist()) < set(after.tolist())
    assert not set(after.tolist()) & set(train.tolist())
    assert len(after) + len(train) == 240


def test_each_class_is_on_both_sides_however_small(tmp_path: Path) -> None:
    for label in range(30):
        for i in range(10):
            write(tmp_path / f"{label:02d}" / f"{i}.png", Image.new("L", (32, 32)))
    for split in ("train", "validation"):
        assert set(load(tmp_path, split).labels.tolist()) == set(range(30))


def test_the_same_folder_gives_the_same_set_wherever_it_lies(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copied = shutil.copytree(root, tmp_path_factory.mktemp("copy") / "there")
    here, there = load(root), load(copied)
    assert torch.equal(here.images, there.images)
    assert here.provenance["digest"] == there.provenance["digest"]
    write(copied / "cup" / "000.png", Image.new("RGB", (50, 50), "white"))
    changed = {data.provenance["digest"] for data in load_both(copied)}
    unchanged = {data.provenance["digest"] for data in load_both(root)}
    assert len(changed & unchanged) == 1  # the split that the image is in has changed, the other has not


def test_a_limit_takes_classes_in_equal_numbers(root: Path) -> None:
    data = load(root, limit=30)
    assert data.provenance["count_by_class"] == {"apple": 10, "bottle": 10, "cup": 10}
    assert sum(load(root, limit=31).provenance["count_by_class"].values()) == 31
    for limit in (2, 121, -1):
        with pytest.raises(DataError, match=rf"limit: {limit} is not 0 \(all\) or 3 \(the classes\) to "):
            load(root, limit=limit)


# What is refused


def test_what_is_no_folder_of_classes_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder: .*nowhere is not a folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="000.png is not a folder"):
        load(root / "apple" / "000.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty has no sub-folders, needs 2 to 1000, one per class; give"):
        load(tmp_path / "empty")
    (tmp_path / "empty" / "single").mkdir()
    with pytest.raises(DataError, match="empty has one sub-folder, needs 2 to 1000"):
        load(tmp_path / "empty")
    for i in range(1001):
        (tmp_path / "empty" / str(i)).mkdir()
    with pytest.raises(DataError, match="empty has 1002 sub-folders"):
        load(tmp_path / "empty")


def test_images_out_of_place_are_named(root: Path) -> None:
    write(root / "loose.jpg", Image.new("L", (32, 32)))
    with pytest.raises(DataError, match=r"loose\.jpg lies beside the classes; move it"):
        load(root)
    (root / "loose.jpg").unlink()
    (root / "cup" / "more").mkdir()
    with pytest.raises(DataError, match=r"cup/more is a folder inside a class; move it out"):
        load(root)


def test_a_class_of_too_few_images_is_named(root: Path) -> None:
    for path in sorted((root / "cup").iterdir())[:31]:
        path.unlink()
    with pytest.raises(DataError, match=r"cup has 9 PNG or JPEG images, needs 10 or more"):
        load(root)


@pytest.mark.parametrize("name", ["two\nlines", " spaced", "x" * 101, os.fsdecode(b"\xff\xfe")])
def test_a_name_that_no_class_can_have_is_refused(root: Path, name: str) -> None:
    (root / "cup").rename(root / name)
    with pytest.raises(DataError, match="cannot be a class name; use up to 100 printable") as caught:
        load(root)
    assert str(caught.value).isprintable()  # so that it can be logged


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "gif", "link"])
def test_an_unreadable_image_is_named(root: Path, damage: str) -> None:
    path = root / "bottle" / "001.jpg"
    data = path.read_bytes()
    gif = io.BytesIO()
    Image.new("L", (40, 40)).save(gif, "GIF")
    content = {"truncated": data[: len(data) // 2], "empty": b"", "text": b"a bottle", "gif": gif.getvalue()}
    path.unlink()
    if damage == "link":
        path.symlink_to(root / "gone.jpg")
    else:
        path.write_bytes(content[damage])
    with pytest.raises(
        DataError, match=r"bottle/001\.jpg is no readable PNG or JPEG.*; replace or remove it"
    ):
        load_both(root)


def test_arguments_that_do_not_fit_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match="dataset: 'birds' is not one of colored_mnist"):
        training_images("birds", "train")
    with pytest.raises(DataError, match="folder: give the path of your images"):
        training_images("folder", "train")
    with pytest.raises(DataError, match="folder: is for the data set 'folder' only; leave it out"):
        training_images("colored_mnist", "train", folder=str(root))
    with pytest.raises(DataError, match="split: 'test' is not one of train, validation, all"):
        load(root, "test")
    with pytest.raises(DataError, match="resolution: 48 is not one of 32, 64"):
        load(root, resolution=48)
    with pytest.raises(DataError, match="resolution: colored_mnist has 32 pixels a side, not 64"):
        training_images("colored_mnist", "train", resolution=64)


# The variants


def test_a_variant_is_an_image_set_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    data = training_images("double_colored_mnist", "validation", limit=50)
    assert data.images.shape == (50, 3, 32, 32) and data.resolution == 32
    assert data.class_names == [str(digit) for digit in range(10)]
    assert data.provenance["dataset"] == "double_colored_mnist" and data.provenance["count"] == 50
