"""The MNIST family as it is served: the pictures of the trained form, in passes of any size."""

from typing import Any

import pytest
import torch
from torch import nn

from cgn.families.mnist.family import build
from cgn.families.mnist.network import LATENT, MnistCGN
from cgn.families.mnist.served import ServedMnist
from cgn.noise import MECHANISMS, Mechanism

WIDTH = 24


def trained(classes: int, resolution: int) -> MnistCGN:
    """Random weights whose batch norms do something, and whose pictures are no grey."""
    torch.manual_seed(classes + resolution)
    network = build({"width": WIDTH}, classes, resolution)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 1.5)
        elif isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, 0.2)
    return network.eval().requires_grad_(False)


def causes(network: MnistCGN, rows: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise, labels, of which one is a mixture, and rolls."""
    y_NC = torch.eye(network.classes)[torch.arange(rows) % network.classes]
    y_NC[-1] = 1 / network.classes
    return torch.randn(rows, LATENT), y_NC, torch.randint(network.resolution, (rows, 2))


def drawn(
    network: MnistCGN | ServedMnist,
    mechanism: Mechanism,
    inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    u_NL, y_NC, shift_N2 = inputs
    with torch.inference_mode():
        return network.draw(mechanism, u_NL, y_NC, shift_N2, 1.0)


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(("classes", "resolution"), [(10, 32), (3, 32), (7, 64)])
def test_pictures_are_those_of_the_trained_form(classes: int, resolution: int, mechanism: Mechanism) -> None:
    network = trained(classes, resolution)
    inputs = causes(network, 20)
    exact = drawn(network, mechanism, inputs)
    served = drawn(ServedMnist(network), mechanism, inputs)
    assert served.shape == exact.shape and served.dtype == torch.float32
    assert exact.std() > 0.05 and (exact[0] - exact[1]).abs().max() > 0.05
    assert (served - exact).abs().max() <= 1e-4

    rough = drawn(ServedMnist(network, torch.bfloat16), mechanism, inputs)
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).square().mean().sqrt() < 0.02


def test_the_trained_form_stays_as_it_is() -> None:
    network = trained(10, 32)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    served = ServedMnist(network)
    for tensor in served.state_dict().values():
        if tensor.is_floating_point():
            tensor.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_pass_is_a_small_one_only_where_that_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    served = ServedMnist(trained(10, 32))
    equal = served.pass_rows("texture", 1) < served.batch_rows
    assert served.pass_rows("texture", served.batch_rows) == served.batch_rows

    other = ServedMnist(trained(10, 32))
    rough, draw = [1e-7], ServedMnist.draw

    def draw_roughly(self: ServedMnist, mechanism: Mechanism, u_NL: torch.Tensor, *rest: Any) -> torch.Tensor:
        rows = draw(self, mechanism, u_NL, *rest)
        return rows if len(u_NL) == self.batch_rows else rows + rough[0]

    monkeypatch.setattr(ServedMnist, "draw", draw_roughly)
    assert other.pass_rows("texture", 1) == other.batch_rows
    assert other.pass_rows("texture", other.batch_rows) == other.batch_rows
    rough[0] = 0.0
    assert (ServedMnist(trained(10, 32)).pass_rows("texture", 1) < served.batch_rows) == equal
