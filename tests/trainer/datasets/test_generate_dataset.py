"""The run that writes data sets: two layouts, equal bytes for equal options however often it was stopped."""

import csv
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cgn.images.pixels import to_uint8
from cgn.sampling.banks import Counterfactuals
from cgn.sampling.sampler import Sampler
from cgn.store import checkpoint
from testing.random_model import DIGITS, publish_random
from trainer.datasets.config import GenerateDatasetConfig
from trainer.datasets.generate import generate_dataset
from trainer.run.context import RunContext, RunError, StopFlag, Stopped
from trainer.run.options import FieldError
from trainer.run.report import Reporter


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    publish_random(tmp_path / "models", "tiny")
    return tmp_path / "models"


class StopAfter(StopFlag):
    """Asks to stop when it has been looked at so often."""

    def __init__(self, looks: int) -> None:
        self._looks = looks

    @property
    def requested(self) -> bool:  # type: ignore[override]
        self._looks -= 1
        return self._looks < 0


def context(models: Path, run: str, *, resume: bool = False, stop: StopFlag | None = None) -> RunContext:
    run_dir = models.parent / run
    run_dir.mkdir(exist_ok=True)
    reporter = Reporter(run_dir, models, jsonl=True)
    return RunContext(run_dir, models, "cpu", "v1", resume, reporter, stop or StopFlag())


def config(**options: Any) -> GenerateDatasetConfig:
    return GenerateDatasetConfig(**{"model_name": "tiny", "images": 25, "shard_images": 10, **options})


def written(models: Path, run: str, **options: Any) -> Path:
    """The directory of a data set that an undisturbed run has written."""
    where = context(models, run)
    generate_dataset(config(**options), where)
    return where.run_dir / "dataset"


def digests(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def labels(directory: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((directory / "labels.csv").open(newline="")))


def test_an_image_folder_is_what_torchvision_reads(models: Path) -> None:
    directory = written(models, "run")
    rows = labels(directory)
    assert [int(row["number"]) for row in rows] == list(range(25))
    # As ImageFolder numbers classes: folders in the order of their names.
    folders = sorted(path.name for path in directory.iterdir() if path.is_dir())
    assert folders == [f"{label}_{name}" for label, name in enumerate(DIGITS)]
    model = checkpoint.load(models, "tiny", "v1")
    sampler = Sampler(0, 10, config().policy)
    x_NCHW, label_N = Counterfactuals(model, sampler).images(0, 25)
    plan = sampler.plan(0, 25)
    for number, row in enumerate(rows):
        folder, _, _ = row["file"].partition("/")
        assert folders.index(folder) == int(row["label"]) == int(label_N[number])
        assert row["class_name"] == DIGITS[int(row["label"])]
        assert int(row["texture_label"]) == plan["texture"].labels[number]
        assert int(row["background_seed"]) == plan["background"].seeds[number]
        image = np.asarray(Image.open(directory / row["file"]))
        assert np.array_equal(image, to_uint8(x_NCHW[number].permute(1, 2, 0).numpy()))
    assert len(list(directory.rglob("*.png"))) == 25
    about = json.loads((directory / "dataset.json").read_text())
    assert about["classes"] == dict(zip(DIGITS, folders, strict=True))
    assert about["model"]["digest"] == model.card.digest


def test_webdataset_shards_hold_each_image_with_its_class_and_factors(models: Path) -> None:
    images, shards = written(models, "folder"), written(models, "tar", format="webdataset")
    assert sorted(path.name for path in shards.glob("*.tar")) == [f"shard-00000{n}.tar" for n in range(3)]
    seen = 0
    rows = labels(shards)
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            # The files of one sample stand side by side, under one name up to the first dot.
            keys = [member.name.partition(".")[0] for member in members]
            assert keys == [key for key in dict.fromkeys(keys) for _ in range(3)]
            assert {(member.mtime, member.uid, member.mode) for member in members} == {(0, 0, 0o644)}
            contents = {member.name: tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]
        for key in dict.fromkeys(keys):
            row, other = rows[int(key)], labels(images)[int(key)]
            assert int(contents[f"{key}.cls"]) == int(row["label"])
            factors = json.loads(contents[f"{key}.json"])
            assert {name: str(value) for name, value in factors.items()} == {
                name: row[name] for name in factors
            }
            assert row["file"] == path.name
            assert contents[f"{key}.png"] == (images / other["file"]).read_bytes()
            assert np.asarray(Image.open(io.BytesIO(contents[f"{key}.png"]))).shape == (32, 32, 3)
            seen += 1
    assert seen == 25


@pytest.mark.parametrize("layout", ["image_folder", "webdataset"])
def test_a_run_stopped_anywhere_comes_to_the_same_bytes(models: Path, layout: str) -> None:
    options = {"format": layout, "bank_masks": 20, "jitter": True, "cf_ratio": 3}
    whole = digests(written(models, "whole", **options))
    assert len(whole) == (27 if layout == "image_folder" else 5)
    attempts = 0
    while True:
        stop = StopAfter(1 + attempts % 2)
        where = context(models, "stopped", resume=attempts > 0, stop=stop)
        attempts += 1
        try:
            generate_dataset(config(**options), where)
        except Stopped:
            # What a killed process may leave half done is written again.
            for half in where.run_dir.glob("dataset/*/0000002*.png"):
                half.write_bytes(b"half")
            continue
        break
    assert attempts > 2
    assert digests(where.run_dir / "dataset") == whole


def test_a_larger_data_set_begins_with_the_smaller_one_and_another_seed_is_another(models: Path) -> None:
    small = digests(written(models, "small", images=10))
    large = digests(written(models, "large", images=30))
    other = digests(written(models, "other", images=10, seed=1))
    pictures = {name: digest for name, digest in small.items() if name.endswith(".png")}
    assert pictures.items() <= large.items()
    assert not set(pictures.values()) & set(other.values())


def test_the_newest_version_is_the_one_of_the_beginning(models: Path) -> None:
    whole = digests(written(models, "whole"))
    with pytest.raises(Stopped):
        generate_dataset(config(), context(models, "run", stop=StopAfter(0)))
    publish_random(models, "tiny", "v2", seed=5)
    where = context(models, "run", resume=True)
    generate_dataset(config(), where)
    assert digests(where.run_dir / "dataset") == whole


def test_what_cannot_be_drawn_is_told(models: Path) -> None:
    with pytest.raises(FieldError, match="must name a CGN"):
        GenerateDatasetConfig()
    with pytest.raises(RunError, match="missing"):
        generate_dataset(config(model_name="missing"), context(models, "run"))
    with pytest.raises(RunError, match="bank_masks: 3 rows cannot show 10 classes"):
        generate_dataset(config(bank_masks=3), context(models, "run"))
    generate_dataset(config(), context(models, "run"))
    with pytest.raises(RunError, match="other options"):
        generate_dataset(config(seed=2), context(models, "run", resume=True))
