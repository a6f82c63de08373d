"""The ImageNet family: the served form equals the trained form and computes requested rows only."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cgn.errors import CgnInputError
from cgn.factors import Factor, mixture, noise_of, weights_of
from cgn.families.imagenet.family import build
from cgn.families.imagenet.network import MASK_FLOOR, ImagenetSizes
from cgn.labels import find_class, find_wordnet
from cgn.model import CGN
from cgn.noise import Mechanism
from cgn.store import checkpoint, versions
from testing.random_model import ANIMALS, TINY_IMAGENET, publish_random_imagenet

FACTORS = [
    Factor(0, 1),
    Factor(3, 2),
    Factor(mixture({0: 0.25, 2: 0.75}), 3),
    Factor(1, 4, truncation=0.5),
    Factor(1, 4, truncation=0.31),
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def inputs(model: CGN, factor: Factor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Returns the trained form's inputs for a factor."""
    u_NL = torch.from_numpy(noise_of([factor], model.network.latent, truncated=True))
    return u_NL, torch.from_numpy(weights_of([factor.label], len(ANIMALS))), factor.truncation


@pytest.mark.parametrize("mend", [0, 1])
def test_the_served_rows_are_those_of_the_trained_form(tmp_path: Path, mend: int) -> None:
    _, trained = publish_random_imagenet(tmp_path, "zoo", mend_truncation=mend)
    model = checkpoint.load(tmp_path, "zoo")
    rows = {
        mechanism: model.rows(mechanism, FACTORS)
        for mechanism in ("shape", "texture", "background", "reference")
    }
    assert [row.shape[1] for row in rows.values()] == [4, 3, 3, 3]
    for i, factor in enumerate(FACTORS):
        with torch.no_grad():
            expected = trained(*inputs(model, factor))
            reference = trained.biggan_GT(*inputs(model, factor))
        # To float32's rounding. (A mask is a sigmoid of what random weights make: it may amplify that.)
        torch.testing.assert_close(rows["shape"][i, 1:], expected.pre_mask[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(rows["shape"][i, :1], expected.mask[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(rows["texture"][i], expected.foreground[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(rows["background"][i], expected.background[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(rows["reference"][i], reference[0], rtol=0, atol=1e-4)
    for drawn in rows.values():  # else the comparison would be empty
        assert float(drawn[:, -3:].std()) > 0.2
        assert float((drawn[0] - drawn[1]).abs().mean()) > 0.1
    masks = rows["shape"][:, 0]
    assert float(masks.min()) >= MASK_FLOOR and float(masks.max()) <= 1 - MASK_FLOOR


def test_truncation_between_two_rows_of_statistics_is_the_packages_unless_mended(tmp_path: Path) -> None:
    cards = [
        publish_random_imagenet(tmp_path, name, mend_truncation=mend)[0]
        for name, mend in (("as-published", 0), ("mended", 1))
    ]
    assert cards[0].digest != cards[1].digest  # else one would be served from the cache of the other
    published, mended = (checkpoint.load(tmp_path, card.name) for card in cards)

    def differs(truncation: float) -> bool:
        factor = [Factor(0, 1, truncation=truncation)]
        return not torch.allclose(
            published.rows("texture", factor), mended.rows("texture", factor), atol=1e-5
        )

    assert differs(0.313)
    assert not differs(0.5) and not differs(1.0)


def test_the_reference_is_loaded_for_its_first_row(tmp_path: Path) -> None:
    publish_random_imagenet(tmp_path, "zoo")
    network = checkpoint.load(tmp_path, "zoo").network
    assert network.resident_bytes("reference") == 0
    assert network.resident_bytes("shape") > network.resident_bytes("texture") > 0
    CGN(network, versions.read_card(tmp_path, "zoo", "v1")).rows("reference", FACTORS[:1])
    assert network.resident_bytes("reference") == network.resident_bytes("texture")


def test_a_model_without_a_reference_refuses_its_rows(tmp_path: Path) -> None:
    publish_random_imagenet(tmp_path, "zoo", reference=0)
    model = checkpoint.load(tmp_path, "zoo")
    with pytest.raises(CgnInputError, match="'reference' is not one of shape, texture, background"):
        model.rows("reference", FACTORS[:1])
    assert model.generate(*[FACTORS[:1]] * 3).composite.shape == (1, 3, 32, 32)


@pytest.mark.parametrize("mechanism", ["shape", "texture"])
def test_a_row_is_the_same_to_the_bit_alone_and_among_others(tmp_path: Path, mechanism: Mechanism) -> None:
    publish_random_imagenet(tmp_path, "zoo")
    model = checkpoint.load(tmp_path, "zoo")
    together = model.rows(mechanism, FACTORS)
    for i, factor in enumerate(FACTORS):
        assert torch.equal(model.rows(mechanism, [factor])[0], together[i])


def test_bfloat16_is_near_float32(tmp_path: Path) -> None:
    publish_random_imagenet(tmp_path, "zoo")
    exact, fast = (checkpoint.load(tmp_path, "zoo", precision=p) for p in ("float32", "bfloat16"))
    difference = exact.rows("texture", FACTORS) - fast.rows("texture", FACTORS)
    assert 0 < float(difference.square().mean().sqrt()) < 0.1


def test_the_trained_form_loads_as_published(tmp_path: Path) -> None:
    card, network = publish_random_imagenet(tmp_path, "zoo")
    trained, its_card = checkpoint.load_trained(tmp_path, "zoo")
    assert its_card == card
    weights = trained.state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(weights[name], tensor)


def test_the_full_size_has_the_authors_keys() -> None:
    full = {"ch": 128, "z_dim": 128, "u2net_inner": 0, "u2net_outer": 0, "reference": 1, "mend_truncation": 0}
    with torch.device("meta"):
        names = list(build(full, 1000, 256).state_dict())
    parts = {name.split(".")[0] for name in names}
    assert parts == {"biggan_GT", "f_shape", "f_text", "f_bg", "u2net"}
    assert len(names) == 4 * 602 + 798


@pytest.mark.parametrize(
    "change",
    [
        {"ch": 0},
        {"reference": 2},
        {"u2net_inner": 0},
        {"u2net_outer": -1},
        {"width": 3},
        {"mend_truncation": 9},
    ],
)
def test_sizes_that_do_not_exist_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(CgnInputError, match="architecture"):
        ImagenetSizes.of(TINY_IMAGENET | change, 4, 32)


def test_sizes_survive_the_card() -> None:
    assert ImagenetSizes.of(TINY_IMAGENET, 4, 32).architecture == TINY_IMAGENET


def test_classes_are_found_by_name_beginning_and_wordnet_id(tmp_path: Path) -> None:
    card, _ = publish_random_imagenet(tmp_path, "zoo")
    assert [find_class(card, name) for name in ("otter", "Ostrich", "ow", "OTT")] == [0, 1, 3, 0]
    assert find_wordnet(card, "n01518878") == 1
    with pytest.raises(
        CgnInputError, match="4 class names begin with 'o'; give one of otter, ostrich, oyster, owl"
    ):
        find_class(card, "o")
    with pytest.raises(CgnInputError, match="no class name begins with 'trich'; give one of ostrich"):
        find_class(card, "trich")
    with pytest.raises(CgnInputError, match="'n1' is not a class; ids look like n02444819"):
        find_wordnet(card, "n1")


def test_noise_of_the_family_is_truncated(tmp_path: Path) -> None:
    u_NL = noise_of([Factor(0, seed, truncation=0.5) for seed in range(50)], 16, truncated=True)
    assert 0.8 < np.abs(u_NL).max() <= 1.0
