"""Models on disk: published whole or not at all, and refused when anything is wrong with them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from cgn.errors import CgnInputError
from cgn.factors import Factor
from cgn.store import checkpoint, versions
from cgn.store.versions import CheckpointError, VersionExists
from testing.random_model import publish_random

BOUNDS = {"lowest": 0.05, "highest": 0.6, "highest_border": 0.5, "highest_soft": 1.0}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    publish_random(tmp_path, "tiny")
    return tmp_path


def test_a_published_version_loads_unchanged(root: Path) -> None:
    model = checkpoint.load(root, "tiny", "v1")
    assert model.card.digest.startswith("blake2b:")
    assert not model.card.trained
    again = checkpoint.load(root, "tiny")
    factors = [Factor(3, 5)]
    assert torch.equal(model.rows("texture", factors), again.rows("texture", factors))
    assert model.network.resident_bytes("shape") > 0


def test_a_model_of_other_classes_and_64_pixels_is_loaded_as_its_card_says(tmp_path: Path) -> None:
    birds = ["coot", "dipper", "finch", "gull", "heron", "jay", "kite"]
    publish_random(tmp_path, "birds", class_names=birds, resolution=64)
    model = checkpoint.load(tmp_path, "birds")
    assert model.rows("shape", [Factor(6, 1)]).shape == (1, 1, 64, 64)
    with pytest.raises(CgnInputError, match=r"7 is out of range \[0, 6\]"):
        model.rows("shape", [Factor(7, 1)])


def test_a_version_is_never_replaced_and_nothing_is_left_behind(root: Path) -> None:
    before = (root / "tiny/v1/weights.safetensors").read_bytes()
    with pytest.raises(VersionExists, match="never changes"):
        publish_random(root, "tiny", seed=1)
    assert (root / "tiny/v1/weights.safetensors").read_bytes() == before
    assert [p.name for p in (root / "tiny").iterdir()] == ["v1"]


def test_an_impossible_card_publishes_nothing(root: Path) -> None:
    with pytest.raises(CgnInputError, match="version"):
        publish_random(root, "tiny", version="../v2")
    with pytest.raises(CgnInputError, match="name"):
        publish_random(root, "../../etc")
    assert versions.all_versions(root) == [("tiny", "v1")]


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_unreadable_files_are_not_published(
    root: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(checkpoint, "save_tensors", lambda tensors: damage(save(tensors)))
    before = sorted(root.rglob("*"))
    with pytest.raises(CheckpointError, match="cannot be read as written|is not what was to be written"):
        publish_random(root, "other")
    assert sorted(path for path in root.rglob("*") if path != root / "other") == before


def test_the_newest_version_was_created_last(root: Path) -> None:
    publish_random(root, "tiny", version="a-later-one", seed=1)
    assert versions.newest_version(root, "tiny") == "a-later-one"
    with pytest.raises(CheckpointError, match="no model 'other' in .*; known: tiny"):
        checkpoint.load(root, "other")


@pytest.mark.parametrize("rest", [0, 7, 100, 0.5, -1])
def test_truncated_weights_are_refused(root: Path, rest: float) -> None:
    path = root / "tiny/v1/weights.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * rest) if isinstance(rest, float) else rest])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        checkpoint.load(root, "tiny")


def test_one_flipped_bit_is_noticed(root: Path) -> None:
    path = root / "tiny/v1/weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="digest"):
        checkpoint.load(root, "tiny")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"architecture": {"width": 16}}, "the card needs"),
        ({"architecture": {"depth": 8}}, "width"),
        ({"family": "diffusion"}, "known: mnist, imagenet"),
        ({"resolution": 64}, "lacks"),
        ({"resolution": 48}, "resolution: 48 must be 32 or 64"),
        ({"latent_size": 16}, "latent_size must be 32"),
        ({"name": "other"}, "says other/v1"),
        ({"class_names": ["a"]}, "entries for 1 classes"),
        ({"digest": "sha1:0"}, "digest"),
        ({"surprise": 1}, "unknown fields"),
        ({"class_names": ["0"] * 10}, "distinct"),
        ({"class_names": list(range(10))}, "wrong type"),
        ({"notes": "none"}, "not of type list"),
        ({"mask_bounds": [{**BOUNDS, "highest": 0.01}] * 10}, "lowest < highest"),
        ({"mask_bounds": [{**BOUNDS, "highest_soft": 0}] * 10}, "highest_soft must be above 0"),
        ({"mask_border": [1.5] * 10}, "mask_border: each must be within 0 to 1"),
        ({"mask_soft": ["0.1"] * 10}, "wrong type"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(root: Path, change: dict[str, object], says: str) -> None:
    path = root / "tiny/v1/card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=says):
        checkpoint.load(root, "tiny", "v1")


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}"])
def test_a_damaged_card_is_refused(root: Path, text: str) -> None:
    (root / "tiny/v1/card.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"card\.json"):
        checkpoint.load(root, "tiny", "v1")


def test_a_path_out_of_the_folder_is_refused(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    publish_random(elsewhere, "secret")
    (root / "secret").symlink_to(elsewhere / "secret")
    with pytest.raises(CheckpointError, match="leads out of"):
        checkpoint.load(root, "secret", "v1")
    with pytest.raises(CgnInputError, match="name"):
        checkpoint.load(root, "..", "v1")
    with pytest.raises(CgnInputError, match="version"):
        checkpoint.load(root, "tiny", "../../elsewhere")


@pytest.mark.parametrize("file", ["weights.safetensors", "card.json"])
def test_a_file_that_is_a_link_out_of_the_folder_is_refused(
    root: Path, file: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    moved = (root / "tiny/v1" / file).rename(tmp_path_factory.mktemp("elsewhere") / file)
    (root / "tiny/v1" / file).symlink_to(moved)
    with pytest.raises(CheckpointError, match="leads out of"):
        checkpoint.load(root, "tiny", "v1")
