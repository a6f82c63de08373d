"""Losses: zero where they should be, and pulling the right way where they are not."""

import math

import pytest
import torch

from cgn.losses import masks_and_game as losses


def masks(value: float) -> torch.Tensor:
    return torch.full((2, 1, 32, 32), value)


def test_binary_entropy_is_a_bit_at_a_half_and_nothing_at_the_ends() -> None:
    assert float(losses.binary_entropy(masks(0.5))) == pytest.approx(1.0)
    for value in (0.0, 1.0):
        assert float(losses.binary_entropy(masks(value))) < 0.002
    entropy = -(0.2 * math.log2(0.2) + 0.8 * math.log2(0.8))
    assert float(losses.binary_entropy(masks(0.2))) == pytest.approx(entropy, rel=1e-5)


def test_mask_interval_is_a_hinge_on_each_image() -> None:
    assert float(losses.mask_interval(masks(0.2), 0.1, 0.3)) == 0
    assert float(losses.mask_interval(masks(0.05), 0.1, 0.3)) == pytest.approx(0.05)
    assert float(losses.mask_interval(masks(0.9), 0.1, 0.3)) == pytest.approx(0.6)
    # An empty and a full mask do not average out to a good one.
    assert float(losses.mask_interval(torch.cat([masks(0.0), masks(1.0)]), 0.1, 0.9)) == pytest.approx(0.1)


def test_border_mass_tells_an_inverted_mask() -> None:
    m = masks(0.0)
    m[..., 8:24, 8:24] = 1
    assert float(losses.border_mass(m)) == 0
    assert float(losses.border_mass(1 - m)) == 1


def test_adversarial_losses_reward_the_right_side() -> None:
    high, low = torch.full((4,), 5.0), torch.full((4,), -5.0)
    assert losses.adversarial_discriminator(high, low) < losses.adversarial_discriminator(low, high)
    assert losses.adversarial_generator(high) < losses.adversarial_generator(low)


def test_r1_is_the_squared_gradient_norm() -> None:
    x = torch.randn(3, 3, 4, 4, requires_grad=True)
    assert float(losses.r1_penalty(2 * x.sum(dim=(1, 2, 3)), x)) == pytest.approx(4 * 48)
