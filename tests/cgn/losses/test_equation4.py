"""Equation 4's table: six terms in the paper's order, each with its own loss of the right pictures."""

from dataclasses import replace

import pytest
import torch

from cgn.families.imagenet.u2net import U2Net
from cgn.losses.equation4 import TERMS, Inputs
from cgn.losses.masks import binary_entropy, mask_interval


def distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x - y).square().mean()


def texture_distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x.mean() - y.mean()).abs()


@pytest.fixture
def inputs() -> Inputs:
    torch.manual_seed(0)
    x_gen, x_gt, foreground, background, target = torch.rand(5, 2, 3, 32, 32) * 2 - 1
    return Inputs(
        x_gen=x_gen,
        x_gt=x_gt,
        mask=torch.rand(2, 1, 32, 32),
        foreground=foreground,
        background=background,
        texture_target=lambda: target,
        perceptual_distance=distance,
        texture_distance=texture_distance,
        saliency=U2Net([(2, 4)] * 11, align_corners=True).eval().requires_grad_(False),
        mask_lowest=0.1,
        mask_highest=0.3,
        mask_of_batch=False,
    )


def test_the_table_has_the_terms_in_the_paper_s_order() -> None:
    assert list(TERMS) == [f"lambda_{number}" for number in range(1, 7)]
    names = [term.name for term in TERMS.values()]
    assert names == ["l1", "perceptual", "binary", "mask", "text", "background"]


def test_each_term_is_its_loss_of_its_pictures(inputs: Inputs) -> None:
    expected = {
        "lambda_1": (inputs.x_gen - inputs.x_gt).abs().mean(),
        "lambda_2": distance(inputs.x_gen, inputs.x_gt),
        "lambda_3": binary_entropy(inputs.mask),
        "lambda_4": mask_interval(inputs.mask, 0.1, 0.3),
        "lambda_5": texture_distance(inputs.foreground, inputs.texture_target()),
        "lambda_6": inputs.saliency(inputs.background).mean(),
    }
    for name, term in TERMS.items():
        torch.testing.assert_close(term.loss(inputs), expected[name], rtol=0, atol=0)
        assert float(expected[name]) > 0


def test_only_l_text_asks_for_a_texture_target(inputs: Inputs) -> None:
    def refuse() -> torch.Tensor:
        raise AssertionError("not needed")

    for name, term in TERMS.items():
        if name == "lambda_5":
            with pytest.raises(AssertionError):
                term.loss(replace(inputs, texture_target=refuse))
        else:
            term.loss(replace(inputs, texture_target=refuse))


def test_the_gradient_of_l_bg_goes_to_the_background(inputs: Inputs) -> None:
    b = inputs.background.clone().requires_grad_(True)
    TERMS["lambda_6"].loss(replace(inputs, background=b)).backward()
    assert b.grad is not None and float(b.grad.abs().sum()) > 0
