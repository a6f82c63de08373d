"""Losses on masks: zero for good masks, above zero for bad ones."""

import math

import pytest
import torch

from cgn.losses.masks import binary_entropy, edge_loss, mask_interval


def masks(value: float) -> torch.Tensor:
    return torch.full((2, 1, 32, 32), value)


def test_binary_entropy_is_one_bit_at_a_half_and_zero_for_hard_masks() -> None:
    assert float(binary_entropy(masks(0.5))) == pytest.approx(1.0)
    for value in (0.0, 1.0):
        assert float(binary_entropy(masks(value))) < 0.002
    entropy = -(0.2 * math.log2(0.2) + 0.8 * math.log2(0.8))
    assert float(binary_entropy(masks(0.2))) == pytest.approx(entropy, rel=1e-5)


def test_mask_interval_is_a_hinge_on_each_mask() -> None:
    assert float(mask_interval(masks(0.2), 0.1, 0.3)) == 0
    assert float(mask_interval(masks(0.05), 0.1, 0.3)) == pytest.approx(0.05)
    assert float(mask_interval(masks(0.9), 0.1, 0.3)) == pytest.approx(0.6)


def test_an_empty_and_a_full_mask_average_to_a_good_one_only_over_the_batch() -> None:
    m = torch.cat([masks(0.0), masks(1.0)])
    assert float(mask_interval(m, 0.1, 0.9, of_batch=True)) == 0
    assert float(mask_interval(m, 0.1, 0.9)) == pytest.approx(0.1)
    assert float(mask_interval(m[:1], 0.1, 0.9, of_batch=True)) == pytest.approx(0.1)


def test_the_edge_loss_separates_an_inverted_mask_from_the_right_one() -> None:
    m = masks(0.0)
    m[..., 8:24, 8:24] = 1
    assert float(edge_loss(m)) == 0
    assert float(edge_loss(1 - m)) == 1
