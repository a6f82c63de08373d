"""The sampler: sample i depends on seed, policy and i alone; labels and rows are drawn as the policy says."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cgn.errors import CgnInputError
from cgn.noise import MECHANISMS
from cgn.sampling.policy import LABELS, VARY, Policy
from cgn.sampling.sampler import Factors, Sampler

BANKS: dict[str, Any] = {"bank_masks": 57, "bank_textures": 31, "bank_backgrounds": 40}
JITTERED: dict[str, Any] = BANKS | {"jitter": True}
POLICIES = [
    Policy(vary, labels, cf_ratio, **banks)
    for vary, labels, cf_ratio, banks in itertools.product(VARY, LABELS, (1, 7), ({}, BANKS, JITTERED))
]


def columns(factors: Factors) -> list[list[int]]:
    rows = [] if factors.rows is None else factors.rows.tolist()
    jitter = [] if factors.jitter is None else factors.jitter.tolist()
    return [factors.labels.tolist(), factors.seeds.tolist(), rows, jitter]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_part_of_the_stream_is_the_stream_s_part(policy: Policy) -> None:
    whole = Sampler(3, 10, policy).plan(0, 2500)
    for start, stop in ((0, 1), (95, 260), (700, 700), (2499, 2500)):
        part = Sampler(3, 10, policy).plan(start, stop)
        for mechanism in MECHANISMS:
            assert len(part[mechanism]) == stop - start
            expected = [column[start:stop] for column in columns(whole[mechanism])]
            assert columns(part[mechanism]) == expected
    assert columns(Sampler(4, 10, policy).plan(0, 50)["shape"]) != columns(
        Sampler(3, 10, policy).plan(0, 50)["shape"]
    )


@pytest.mark.parametrize("banks", [{}, BANKS])
def test_uniform_labels_are_uniform_and_independent(banks: dict[str, Any]) -> None:
    plan = Sampler(0, 10, Policy(**banks)).plan(0, 20_000)
    for mechanism in MECHANISMS:
        assert stats.chisquare(np.bincount(plan[mechanism].labels, minlength=10)).pvalue > 0.001
    for one, other in itertools.combinations(MECHANISMS, 2):
        table = np.zeros((10, 10))
        np.add.at(table, (plan[one].labels, plan[other].labels), 1)
        assert stats.chi2_contingency(table).pvalue > 0.001


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.75, 1.0])
def test_labels_agree_at_the_rate_asked_and_independently(rate: float) -> None:
    plan = Sampler(5, 10, Policy(labels="other", agreement=rate)).plan(0, 20_000)
    agrees = {m: plan[m].labels == plan["shape"].labels for m in MECHANISMS[1:]}
    for mechanism, agree in agrees.items():
        assert agree.mean() == pytest.approx(rate, abs=0.015)
        if rate < 1:  # those that do not agree are of all other classes alike
            ahead = (plan[mechanism].labels - plan["shape"].labels)[~agree] % 10
            assert stats.chisquare(np.bincount(ahead, minlength=10)[1:]).pvalue > 0.001
    assert (agrees["texture"] & agrees["background"]).mean() == pytest.approx(rate * rate, abs=0.015)


def test_a_rate_that_cannot_be_is_refused() -> None:
    with pytest.raises(CgnInputError, match="agreement: 1.5 is not within 0 to 1"):
        Policy(labels="other", agreement=1.5)
    with pytest.raises(CgnInputError, match='agreement: needs "other" labels'):
        Policy(agreement=0.5)


@pytest.mark.parametrize(("classes", "group"), [(10, 100), (3, 102)])
def test_permuted_labels_are_those_of_a_balanced_group_of_shapes(classes: int, group: int) -> None:
    ratio = 2
    plan = Sampler(1, classes, Policy(labels="permuted", cf_ratio=ratio)).plan(0, 5 * group * ratio)
    by_copy = {m: plan[m].labels.reshape(5, group, ratio).transpose(0, 2, 1) for m in MECHANISMS}
    counts = {
        tuple(np.bincount(labels, minlength=classes))
        for mechanism in MECHANISMS
        for labels in by_copy[mechanism].reshape(-1, group)
    }
    assert counts == {(group // classes,) * classes}
    # No permutation is used twice, by another group, copy or mechanism.
    permutations = {labels.tobytes() for m in MECHANISMS[1:] for labels in by_copy[m].reshape(-1, group)}
    assert len(permutations) == 2 * 5 * ratio


def test_other_labels_are_never_the_shape_s_and_all_others_alike() -> None:
    plan = Sampler(2, 10, Policy(labels="other")).plan(0, 20_000)
    for mechanism in ("texture", "background"):
        ahead = (plan[mechanism].labels - plan["shape"].labels) % 10
        counts = np.bincount(ahead, minlength=10)
        assert counts[0] == 0
        assert stats.chisquare(counts[1:]).pvalue > 0.001


@pytest.mark.parametrize("banks", [{}, BANKS])
def test_what_does_not_vary_is_the_shape_s(banks: dict[str, Any]) -> None:
    for vary in VARY:
        plan = Sampler(5, 10, Policy(vary, **banks)).plan(0, 300)
        for mechanism in ("texture", "background"):
            same = [seed == own for seed, own in zip(plan[mechanism].seeds, plan["shape"].seeds, strict=True)]
            assert all(same) != (mechanism in vary)
            if mechanism not in vary:
                assert columns(plan[mechanism]) == columns(plan["shape"])


def test_counterfactuals_of_one_shape_share_its_noise_and_nothing_else() -> None:
    plan = Sampler(6, 10, Policy(cf_ratio=4)).plan(0, 400)
    shapes = plan["shape"].seeds.reshape(100, 4)
    assert (shapes == shapes[:, :1]).all()
    assert len(np.unique(shapes[:, 0])) == 100
    for mechanism in ("texture", "background"):
        assert len(np.unique(plan[mechanism].seeds)) == 400


@pytest.mark.parametrize("banks", [{}, BANKS])
def test_jitter_is_every_sample_s_own_and_leaves_the_rest_as_it_is(banks: dict[str, Any]) -> None:
    plain = Sampler(6, 10, Policy(cf_ratio=4, **banks)).plan(0, 4000)
    plan = Sampler(6, 10, Policy(cf_ratio=4, jitter=True, **banks)).plan(0, 4000)
    numbers = []
    for mechanism in MECHANISMS:
        jitter = plan[mechanism].jitter
        assert jitter is not None
        assert jitter.shape == (4000, 8)
        assert jitter.dtype == np.float32
        assert columns(plan[mechanism])[:3] == columns(plain[mechanism])[:3]
        numbers.append(jitter)
    assert (numbers[0].reshape(1000, 4, 8) == numbers[0].reshape(1000, 4, 8)[:, :1]).all()  # of one shape
    distinct = np.concatenate([numbers[0][::4], *numbers[1:]], axis=0)
    assert len(np.unique(distinct, axis=0)) == 9000
    assert 0 <= distinct.min() < 0.001 < 0.999 < distinct.max() < 1
    assert stats.kstest(distinct.ravel(), "uniform").pvalue > 0.001
    assert np.abs(np.corrcoef(distinct.T) - np.eye(8)).max() < 0.05


def test_no_seed_is_shared_between_mechanisms_or_with_banks() -> None:
    plan = Sampler(7, 10).plan(0, 5000)
    banked = Sampler(7, 10, Policy(bank_masks=1000, bank_textures=1000, bank_backgrounds=1000))
    seeds = np.concatenate([plan[m].seeds for m in MECHANISMS] + [banked.bank(m).seeds for m in MECHANISMS])
    assert len(np.unique(seeds)) == len(seeds) == 18_000


def test_rows_come_from_the_bank_all_alike_within_their_class() -> None:
    sampler = Sampler(8, 10, Policy(**BANKS))
    plan = sampler.plan(0, 50_000)
    for mechanism, size in zip(MECHANISMS, BANKS.values(), strict=True):
        bank, drawn = sampler.bank(mechanism), plan[mechanism]
        assert len(bank) == size
        assert bank.rows is not None and drawn.rows is not None
        assert bank.labels.tolist() == [row % 10 for row in range(size)]
        assert (bank.labels[drawn.rows] == drawn.labels).all()
        assert (bank.seeds[drawn.rows] == drawn.seeds).all()
        for label in range(10):
            counts = np.bincount(drawn.rows[drawn.labels == label], minlength=size)[label::10]
            assert stats.chisquare(counts).pvalue > 0.001


def test_a_bank_is_the_beginning_of_a_larger_one() -> None:
    small, large = (Sampler(9, 10, Policy(bank_masks=size)).bank("shape") for size in (20, 500))
    assert small.seeds.tolist() == large.seeds[:20].tolist()
    assert len(Sampler(9, 10).bank("shape")) == 0


def test_factors_are_what_a_model_takes() -> None:
    factors = Sampler(10, 10).plan(40, 43)["texture"]
    listed = factors.factors()
    assert [factor.label for factor in listed] == factors.labels.tolist()
    assert [factor.seed for factor in listed] == factors.seeds.tolist()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"vary": "shape"}, "vary"),
        ({"labels": "any"}, "labels"),
        ({"cf_ratio": 0}, "cf_ratio"),
        ({"cf_ratio": 2.0}, "cf_ratio"),
        ({"bank_masks": -1}, "bank_masks"),
        ({"bank_textures": 10_000_001}, "bank_textures"),
        ({"bank_backgrounds": True}, "bank_backgrounds"),
        ({"jitter": 1}, "jitter"),
    ],
)
def test_a_bad_policy_is_refused(values: dict[str, Any], field: str) -> None:
    with pytest.raises(CgnInputError) as caught:
        dataclasses.replace(Policy(), **values)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


def test_a_bad_sampler_is_refused() -> None:
    for arguments, field, says in (
        ((-1, 10), "seed", "not an integer"),
        ((0, 0), "classes", "too few"),
        ((0, 1, Policy(labels="other")), "classes", "too few"),
        ((0, 10, Policy(bank_textures=9)), "bank_textures", "give at least 10, or 0"),
    ):
        with pytest.raises(CgnInputError, match=says) as caught:
            Sampler(*arguments)
        assert caught.value.field == field
    for start, stop in ((-1, 3), (3, 2)):
        with pytest.raises(CgnInputError, match="not a part of a stream"):
            Sampler(0, 10).plan(start, stop)
