"""The reimplemented recipe of the authors: networks as in their checkpoints, and the cost of a step."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.baselines.authors_recipe import (
    BATCH,
    SETTINGS,
    AuthorsCGN,
    ConvolutionalDiscriminator,
    LinearDiscriminator,
    VggStyle,
    authors_training,
)
from cgn.data import make_variant

TEXTURE = {
    "0.weight": (4096, 42),
    "0.bias": (4096,),
    "3.weight": (64, 64, 3, 3),
    "4.weight": (64,),
    "4.bias": (64,),
    "7.weight": (32, 64, 3, 3),
    "8.weight": (32,),
    "8.bias": (32,),
    "10.weight": (3, 32, 3, 3),
    "10.bias": (3,),
    "11.weight": (3,),
    "11.bias": (3,),
}
SHAPE = {
    "0.weight": (4096, 42),
    "0.bias": (4096,),
    "4.weight": (32, 64, 3, 3),
    "5.weight": (32,),
    "5.bias": (32,),
    "9.weight": (1, 32, 3, 3),
    "10.weight": (1,),
    "10.bias": (1,),
}


def test_parameters_have_the_names_and_shapes_of_the_published_checkpoints() -> None:
    published: dict[str, tuple[int, ...]] = {"label_emb.weight": (10, 10)}
    published |= {f"f_shape.{name}": shape for name, shape in SHAPE.items()}
    for texture in ("f_text1", "f_text2"):
        published |= {f"{texture}.{name}": shape for name, shape in TEXTURE.items()}
    for setting in SETTINGS.values():
        named = {name: tuple(p.shape) for name, p in AuthorsCGN(setting).named_parameters()}
        assert named == published


def test_masks_are_clamped_and_colours_in_range() -> None:
    torch.manual_seed(0)
    m, f, b = AuthorsCGN(SETTINGS["colored_mnist"])(torch.arange(10))
    assert m.shape == (10, 1, 32, 32) and f.shape == b.shape == (10, 3, 32, 32)
    assert m.min() == torch.tensor(1e-4) and m.max() == torch.tensor(0.9999)
    assert f.abs().max() <= 1 and b.abs().max() <= 1


@pytest.mark.parametrize(
    ("name", "millions"), [("mechanisms", 64), ("style", 313), ("linear", 2.1), ("convolutional", 44)]
)
def test_the_operations_match_the_authors_networks(name: str, millions: float) -> None:
    """Compares multiplications per forward pass and image with those counted in the authors' code."""
    image, label = torch.zeros(1, 3, 32, 32), torch.zeros(1, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if name == "mechanisms":
            AuthorsCGN(SETTINGS["colored_mnist"]).eval()(label)
        elif name == "style":
            for block in VggStyle((1, 1, 1, 1)).blocks:
                image = block(image)
        elif name == "linear":
            LinearDiscriminator()(image, label)
        else:
            ConvolutionalDiscriminator()(image, label)
    assert counter.get_total_flops() / 2e6 == pytest.approx(millions, rel=0.03)


def test_the_whole_recipe_is_fifteen_epochs_in_batches_of_sixteen() -> None:
    assert BATCH == 16
    assert {variant: setting.steps for variant, setting in SETTINGS.items()} == {
        "colored_mnist": 56_250,
        "double_colored_mnist": 46_875,
        "wildlife_mnist": 46_875,
    }


@pytest.mark.parametrize("variant", SETTINGS)
def test_training_continues_past_one_epoch(variant: str) -> None:
    data = make_variant(variant, "train", limit=20)
    steps = authors_training(variant, data.images, data.labels)
    losses = [next(steps) for _ in range(2)]
    assert all(math.isfinite(value) for report in losses for value in report.values())
    assert losses[0] != losses[1]
