"""The networks: any number of classes, 32 or 64 pixels, and textures that live on a torus."""

import pytest
import torch

from cgn.data import RESOLUTIONS
from cgn.errors import CgnInputError
from cgn.families.mnist import network as mnist
from cgn.families.mnist.family import build
from cgn.families.mnist.network import MnistCGN
from trainer.gan.discriminator import Discriminator

SIZES = [(classes, resolution) for resolution in RESOLUTIONS for classes in (2, 7, 10)]


def network(classes: int, resolution: int) -> MnistCGN:
    torch.manual_seed(0)
    return build({"width": 8}, classes, resolution).requires_grad_(False)


@pytest.mark.parametrize(("classes", "resolution"), SIZES)
def test_every_mechanism_has_the_size_asked_for(classes: int, resolution: int) -> None:
    cgn = network(classes, resolution)
    u_NL, label_N = torch.randn(3, mnist.LATENT), torch.tensor([0, 1, classes - 1])
    y_NC, roll_N2 = mnist.one_hot(label_N, classes), torch.randint(resolution, (3, 2))
    m = cgn.shape(u_NL, y_NC)
    assert m.shape == (3, 1, resolution, resolution)
    assert 0 <= float(m.min()) <= float(m.max()) <= 1
    for texture in (cgn.texture, cgn.background):
        x = texture(u_NL, y_NC, roll_N2)
        assert x.shape == (3, 3, resolution, resolution)
        assert float(x.abs().max()) <= 1
    for picture in (m, x):
        judge = Discriminator(picture.shape[1], classes, resolution, width=4)
        assert judge(picture, label_N).shape == (3,)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_texture_has_no_seam(resolution: int) -> None:
    # Its smallest map moved round by one cell, the whole texture moves round, by as many pixels as make a
    # cell: only a picture without a border can do that.
    still = network(7, resolution).texture.eval()
    moved = network(7, resolution).texture.eval()
    linear = moved.layers.get_submodule("2")
    assert isinstance(linear, torch.nn.Linear)
    for weight in (linear.weight, linear.bias):
        cells = weight.data.view(8, 8, 8, -1)  # channel, row, column
        weight.data = cells.roll((1, 3), dims=(1, 2)).reshape(weight.shape)
    u_NL, y_NC = torch.randn(4, mnist.LATENT), mnist.one_hot(torch.arange(4), 7)
    roll_N2 = torch.zeros(4, 2, dtype=torch.int64)
    cell = resolution // 8
    x = still(u_NL, y_NC, roll_N2).roll((cell, 3 * cell), dims=(2, 3))
    assert torch.allclose(moved(u_NL, y_NC, roll_N2), x, atol=1e-5)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_rolled_texture_is_a_cyclic_shift_of_the_same(resolution: int) -> None:
    texture = network(7, resolution).texture.eval()
    u_NL, y_NC = torch.randn(2, mnist.LATENT), mnist.one_hot(torch.tensor([0, 6]), 7)
    rolls = torch.tensor([[5, 0], [resolution - 1, 17]])
    still = texture(u_NL, y_NC, torch.zeros_like(rolls))
    for x, shifted, roll in zip(still, texture(u_NL, y_NC, rolls), rolls.tolist(), strict=True):
        assert torch.equal(shifted, x.roll(roll, dims=(1, 2)))


@pytest.mark.parametrize(
    ("classes", "resolution", "says"),
    [
        (10, 48, "resolution: 48 must be 32 or 64"),
        (10, 128, "resolution: 128 must be 32 or 64"),
        (1, 32, "class_names: 1 classes; the family takes 2 to 1000"),
        (1001, 32, "2 to 1000"),
    ],
)
def test_sizes_that_the_family_lacks_are_refused(classes: int, resolution: int, says: str) -> None:
    with pytest.raises(CgnInputError, match=says):
        build({"width": 8}, classes, resolution)
