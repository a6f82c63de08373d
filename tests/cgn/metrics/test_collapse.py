"""Collapse: true masks and the shipped models pass, every way to fail is named."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cgn.card import MaskBounds
from cgn.data import VARIANTS, make_variant
from cgn.families.mnist.family import build
from cgn.metrics.collapse import (
    MaskMeasures,
    class_bounds,
    find_faults,
    gross_bounds,
    measure,
    measure_network,
    sound_bounds,
)
from cgn.metrics.masks import frame_width
from cgn.store import checkpoint
from common.settings import REPO
from services.generator.answers.served_metrics import measure_masks
from tests.shipped import SHIPPED
from trainer.mnist.collapse_report import summary

SOUND, GROSS = sound_bounds(0.04, 0.35), gross_bounds(0.04, 0.35)
Masks = NDArray[np.float32]


@pytest.fixture(scope="module")
def digits() -> list[Masks]:
    """True masks (N, 32, 32), by class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CGN_DATA_DIR", raising=False)
        data = make_variant("wildlife_mnist", "train", limit=2000)
    return [data.masks[data.labels == label].numpy().astype(np.float32) for label in range(10)]


def faults_of(m: Masks, bounds: MaskBounds = SOUND, lowest_variation: float = 0.005) -> list[str]:
    return [str(fault) for fault in find_faults(["x"], [measure(m)], bounds, lowest_variation)]


def has_room(of_class: MaskMeasures) -> bool:
    """Whether every measure keeps well within its bound."""
    return (
        1.2 * SOUND.lowest < of_class.mean < SOUND.highest / 1.2
        and of_class.border < SOUND.highest_border / 1.5
        and of_class.soft < SOUND.highest_soft / 1.5
        and of_class.variation > 0.05
    )


def test_measures_of_masks_whose_measures_are_known() -> None:
    m = np.zeros((2, 32, 32), np.float32)
    m[:, 3:7, 3:7] = 1  # 16 pixels just inside the frame
    assert measure(m) == MaskMeasures(mean=0.0156, border=0, soft=0, variation=0)
    m[:, 0, :16] = 1  # as many at the edge
    assert measure(m).border == 0.5
    m[:, 20:24] = 0.5
    assert measure(m).soft == 4 / 32
    m = np.stack([np.zeros((32, 32), np.float32), np.ones((32, 32), np.float32)])
    assert measure(m) == MaskMeasures(mean=0.5, border=0.1699, soft=0, variation=0.5)
    assert [frame_width(size) for size in (32, 64, 28)] == [3, 6, 3]


def test_border_mass_does_not_depend_on_the_resolution() -> None:
    m = np.random.default_rng(0).random((5, 32, 32), np.float32)
    doubled = m.repeat(2, axis=1).repeat(2, axis=2)
    assert measure(doubled).border == pytest.approx(measure(m).border, abs=1e-3)


def test_true_digits_pass_with_room(digits: list[Masks]) -> None:
    measures = [measure(masks) for masks in digits]
    assert find_faults([str(i) for i in range(10)], measures, SOUND) == []
    assert all(map(has_room, measures))


def test_the_figures_that_the_bounds_are_chosen_by(digits: list[Masks]) -> None:
    borders, variations = zip(*((m.border, m.variation) for m in map(measure, digits)), strict=True)
    assert (max(borders), borders.index(max(borders))) == (pytest.approx(0.043, abs=5e-4), 7)
    assert (min(variations), max(variations)) == pytest.approx((0.12, 0.23), abs=5e-3)
    assert measure(np.full((2, 32, 32), 0.5, np.float32)).border == pytest.approx(0.34, abs=5e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_shipped_models_pass_with_room_as_their_cards_say(name: str) -> None:
    model = checkpoint.load(REPO / "models", name, SHIPPED[name])
    measures = measure_network(model.network)
    assert find_faults(model.card.class_names, measures, SOUND) == []
    assert all(map(has_room, measures))
    card = model.card
    on_card = zip(card.mask_mean, card.mask_border, card.mask_soft, card.mask_bounds, strict=True)
    for of_class, (mean, border, soft, bounds) in zip(measures, on_card, strict=True):
        assert (mean, border, soft) == pytest.approx(
            (of_class.mean, of_class.border, of_class.soft), abs=0.01
        )
        assert bounds.lowest < mean < bounds.highest
        assert border < bounds.highest_border and soft < bounds.highest_soft


def test_every_way_to_collapse_is_named_with_its_bound_and_meaning(digits: list[Masks]) -> None:
    three = digits[3]
    y, x = np.mgrid[:32, :32] - 15.5
    disc = (np.hypot(x, y) < 10).astype(np.float32)
    moved = np.stack([np.roll(disc, step, axis=0) for step in range(-3, 4)])
    framed = three.copy()
    framed[:, [0, -1]] = framed[:, :, [0, -1]] = 1  # one pixel
    cases = {
        "nothing": (np.zeros_like(three), ["μ_mask 0.000 is below 0.03: the mask is empty", "variation"]),
        "everything": (np.ones_like(three), ["μ_mask 1.000 is above 0.45", "border mass 0.34", "variation"]),
        "inverted": (1 - three, ["inverted or covers the image", "border mass"]),
        "black disc in a white frame": (1 - moved, ["μ_mask 0.69", "border mass 0.4"]),
        "a frame": (framed, ["border mass"]),
        "half transparent": (three * 0 + 0.3 + 0.05 * three, ["border mass", "soft-pixel share 1.000"]),
        "one shape": (np.broadcast_to(three[0], three.shape), ["variation 0.000 is below 0.005"]),
        "not numbers": (three * np.nan, ["μ_mask nan", "variation"]),
    }
    for name, (masks, expected) in cases.items():
        said = faults_of(masks.astype(np.float32))
        assert len(said) >= len(expected), (name, said)
        for part in expected:
            assert any(part in sentence for sentence in said), (name, part, said)
        assert all(sentence.startswith("class x: ") and "\n" not in sentence for sentence in said)
    soft = np.where(digits[0] > 0, 0.5, 0.2).astype(np.float32)
    assert any("the mask is half transparent" in sentence for sentence in faults_of(soft))


def test_the_frame_of_an_empty_mask_is_ignored() -> None:
    m = np.full((4, 32, 32), 0.001, np.float32)
    m += np.random.default_rng(0).uniform(0, 0.001, m.shape).astype(np.float32)
    of_class = measure(m)
    assert of_class.border > SOUND.highest_border
    assert [fault.measure for fault in find_faults(["a"], [of_class], SOUND, 0)] == ["μ_mask"]


def test_in_training_only_gross_collapse_counts(digits: list[Masks]) -> None:
    three = digits[3]
    rough = 0.4 * three + 0.15  # not binary yet, and grey where there is nothing
    rough[:, :4] = rough[:, -4:] = rough[:, :, :4] = rough[:, :, -4:] = 0
    assert faults_of(rough)
    assert faults_of(rough, GROSS, 0.0) == []
    for masks in (1 - three, np.zeros_like(three), np.ones_like(three)):
        assert faults_of(masks, GROSS, 0.0)


def test_a_faulty_class_is_told_from_the_sound_ones(digits: list[Masks]) -> None:
    measures = [measure(1 - m if label in (2, 7) else m) for label, m in enumerate(digits)]
    faults = find_faults([f"d{label}" for label in range(10)], measures, SOUND)
    assert {fault.class_name for fault in faults} == {"d2", "d7"}
    said = summary(faults, 10)
    assert said.startswith("the masks of classes d2, d7 have collapsed: ") and said.count("border mass") == 1


def test_a_summary_tells_every_kind_of_fault_once() -> None:
    empty, still = MaskMeasures(0, 0, 0, 0.1), MaskMeasures(0.01, 0, 0, 0)
    assert summary(find_faults(["a", "b"], [empty, still], SOUND), 2) == (
        "the masks of all 2 classes have collapsed: μ_mask 0.000 to 0.010 is below 0.03, the mask is empty; "
        "variation 0.000 is below 0.005, the mask ignores the noise, all masks of the class are the same "
        "(class b)"
    )
    many = summary(find_faults([f"c{i}" for i in range(13)], [empty] * 12 + [still], SOUND), 40)
    assert "classes c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 and 3 more have collapsed" in many


def test_the_interval_moves_the_bounds() -> None:
    large = sound_bounds(0.2, 0.6)
    assert (large.lowest, large.highest) == (0.15, 0.7)
    assert gross_bounds(0.2, 0.6).lowest < large.lowest and gross_bounds(0.2, 0.6).highest > large.highest
    assert sound_bounds(0.0, 0.35).lowest == 0


def test_a_card_s_bounds_hold_its_own_class_and_no_collapsed_one() -> None:
    for mean in (0.05, 0.15, 0.3, 0.44):
        bounds = class_bounds(MaskMeasures(mean, 0.01, 0.02, 0.1), SOUND)
        assert SOUND.lowest <= bounds.lowest < mean < bounds.highest <= SOUND.highest
        assert (bounds.highest_border, bounds.highest_soft) == (SOUND.highest_border, SOUND.highest_soft)
    for mean in (0.0, 0.001, 0.95, 1.0):
        bounds = class_bounds(MaskMeasures(mean, 0.01, 0.02, 0.1), SOUND)
        assert not bounds.lowest <= mean <= bounds.highest


def test_measuring_a_network_leaves_it_as_it_was() -> None:
    network = build({"width": 8}, classes=3, resolution=64).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first, again = measure_network(network, rows=8), measure_network(network, rows=8)
    assert first == again and len(first) == 3
    assert network.training
    assert all(bool((before[name] == tensor).all()) for name, tensor in network.state_dict().items())


def test_served_masks_are_measured_alike_in_both_data_types() -> None:
    m = np.random.default_rng(0).random((32, 32, 1), np.float32)
    expected = measure(m[None, :, :, 0])
    (measured,) = measure_masks([m])
    assert measured == pytest.approx((expected.mean, expected.border, expected.soft), abs=1e-4)
    levels = np.rint(m * 255).astype(np.uint8)
    crowd = list(measure_masks([levels, np.zeros_like(levels), *[levels] * 99]))
    assert crowd[0] == pytest.approx(measured, abs=5e-3) and crowd[1] == (0, 0, 0)
    assert len(crowd) == 101 and set(crowd[2:]) == {crowd[0]}
