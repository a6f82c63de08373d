"""Adversarial losses: each player's loss falls as its own scores improve."""

import pytest
import torch

from cgn.losses.gan import adversarial_discriminator, adversarial_generator, r1_penalty


def test_adversarial_losses_reward_the_right_scores() -> None:
    high, low = torch.full((4,), 5.0), torch.full((4,), -5.0)
    assert adversarial_discriminator(high, low) < adversarial_discriminator(low, high)
    assert adversarial_generator(high) < adversarial_generator(low)


def test_r1_is_the_squared_norm_of_the_gradient() -> None:
    x = torch.randn(3, 3, 4, 4, requires_grad=True)
    assert float(r1_penalty(2 * x.sum(dim=(1, 2, 3)), x)) == pytest.approx(4 * 48)
