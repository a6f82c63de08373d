"""Banks of rows: the model's own rows as 8-bit levels, recombined by equation 2."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cgn.composer import compose
from cgn.errors import CgnInputError
from cgn.images.jitter import jitter_shapes, shades
from cgn.images.pixels import to_uint8
from cgn.model import CGN
from cgn.noise import MECHANISMS
from cgn.sampling.banks import Counterfactuals
from cgn.sampling.policy import Policy
from cgn.sampling.sampler import Sampler
from cgn.store import checkpoint
from testing.random_model import publish_random

BANKS = Policy(bank_masks=23, bank_textures=12, bank_backgrounds=17)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CGN:
    root = tmp_path_factory.mktemp("models")
    publish_random(root, "tiny")
    return checkpoint.load(root, "tiny")


@pytest.mark.parametrize(
    "policy",
    [
        BANKS,
        Policy(),
        Policy(cf_ratio=3),
        Policy(bank_masks=11),
        Policy("none"),
        Policy("texture", bank_masks=15),
    ],
    ids=str,
)
def test_images_are_composed_of_the_model_s_own_rows_to_the_bit(model: CGN, policy: Policy) -> None:
    sampler = Sampler(1, 10, policy)
    images, labels = Counterfactuals(model, sampler).images(5, 45)
    plan = sampler.plan(5, 45)
    m, f, b = (
        to_uint8(model.rows(mechanism, plan[mechanism].factors()).permute(0, 2, 3, 1).numpy()).astype(
            np.float64
        )
        for mechanism in MECHANISMS
    )
    expected = (m / 255 * f + (1 - m / 255) * b) / 127.5 - 1
    assert labels.tolist() == plan["shape"].labels.tolist()
    assert images.shape == (40, 3, 32, 32)
    assert images.dtype == torch.float32
    # Levels lie 1/127.5 apart, so nothing but the very same ones comes this near.
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("policy", [Policy(jitter=True), Policy("none", bank_masks=11, jitter=True)], ids=str)
def test_jitter_moves_shapes_and_shades_colours_of_the_same_rows(model: CGN, policy: Policy) -> None:
    sampler = Sampler(1, 10, policy)
    images, labels = Counterfactuals(model, sampler).images(5, 45)
    plan = sampler.plan(5, 45)
    rows = {}
    for mechanism in MECHANISMS:
        row = model.rows(mechanism, plan[mechanism].factors()).permute(0, 2, 3, 1).numpy()
        levels = torch.from_numpy(to_uint8(row)).permute(0, 3, 1, 2).float()
        rows[mechanism] = levels / 255 if mechanism == "shape" else levels / 127.5 - 1
    numbers = {m: torch.from_numpy(jitter) for m in MECHANISMS if (jitter := plan[m].jitter) is not None}
    expected = compose(
        jitter_shapes(rows["shape"], numbers["shape"]),
        rows["texture"] + shades(numbers["texture"]),
        rows["background"] + shades(numbers["background"]),
    )
    assert labels.tolist() == plan["shape"].labels.tolist()
    torch.testing.assert_close(images, expected)
    assert not torch.equal(images, Counterfactuals(model, Sampler(1, 10)).images(5, 45)[0])


@pytest.mark.parametrize("policy", [BANKS, Policy(cf_ratio=4), Policy(cf_ratio=3, jitter=True)], ids=str)
def test_a_part_of_the_stream_is_the_stream_s_part_to_the_bit(model: CGN, policy: Policy) -> None:
    whole, labels = Counterfactuals(model, Sampler(2, 10, policy)).images(0, 60)
    again = Counterfactuals(model, Sampler(2, 10, policy))
    for start, stop in ((0, 60), (7, 8), (13, 50), (60, 60)):
        part, part_labels = again.images(start, stop)
        assert torch.equal(part, whole[start:stop])
        assert torch.equal(part_labels, labels[start:stop])


def test_every_row_of_a_bank_is_computed_once_and_told_of(model: CGN) -> None:
    messages: list[str] = []
    stream = Counterfactuals(model, Sampler(3, 10, BANKS), messages.append)
    assert messages == ["shape: 23 of 23 rows", "texture: 12 of 12 rows", "background: 17 of 17 rows"]
    stream.images(0, 100)
    assert len(messages) == 3


def test_other_classes_and_resolutions(tmp_path: Path) -> None:
    publish_random(tmp_path, "pets", class_names=["cat", "dog", "eel"], resolution=64)
    pets = checkpoint.load(tmp_path, "pets")
    images, labels = Counterfactuals(pets, Sampler(0, 3, Policy(bank_masks=4))).images(0, 30)
    assert images.shape == (30, 3, 64, 64)
    assert set(labels.tolist()) == {0, 1, 2}
    with pytest.raises(CgnInputError, match="the sampler has 10, the model 3"):
        Counterfactuals(pets, Sampler(0, 10))
