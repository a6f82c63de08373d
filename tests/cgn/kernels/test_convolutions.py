"""The convolutions of served networks are convolutions, whatever makes them fast."""

import pytest
import torch
import torch.nn.functional as F

from cgn.families.imagenet.u2net import U2Net, folded
from cgn.families.imagenet.u2net_served import served_u2net
from cgn.kernels.packed import PackedConvolution
from cgn.kernels.winograd import Winograd, winograd_pays

pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.fixture
def no_gradients():
    with torch.no_grad():
        yield


def maps(channels: int, height: int, width: int, rows: int = 2) -> torch.Tensor:
    x = torch.relu(torch.randn(rows, channels, height, width, generator=torch.Generator().manual_seed(0)))
    return x.contiguous(memory_format=torch.channels_last)


def weights(outputs: int, inputs: int, side: int = 3) -> torch.Tensor:
    w = torch.randn(outputs, inputs, side, side, generator=torch.Generator().manual_seed(1))
    return w / (inputs * side**2) ** 0.5


@pytest.mark.parametrize(
    ("side", "padding", "dilation"), [(3, 1, 1), (3, 4, 4), (2, 1, 1), (1, 0, 1), (3, 0, 2)]
)
@pytest.mark.parametrize("relu", [False, True])
def test_packed(side: int, padding: int, dilation: int, relu: bool) -> None:
    x, w, bias = maps(24, 12, 10), weights(40, 24, side), torch.linspace(-1, 1, 40)
    packed = PackedConvolution(w, bias, padding=padding, dilation=dilation, relu=relu, size=32)
    expected = F.conv2d(x.double(), w.double(), bias.double(), padding=padding, dilation=dilation)
    y = packed(x)
    assert (float(y.min()) == 0) is relu
    assert float((y - (expected.relu() if relu else expected)).abs().max()) < 1e-5
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(packed(x[:1]), y[:1])


def test_what_cannot_be_packed_is_convolved_as_it_is() -> None:
    x, w = maps(16, 8, 8), weights(16, 16)
    plain = PackedConvolution(w.double(), padding=1, relu=True, size=8)
    assert not plain.packed
    assert torch.equal(plain(x.double()), F.conv2d(x.double(), w.double(), padding=1).relu())


@pytest.mark.parametrize(
    ("height", "width", "rows"), [(16, 16, 1), (8, 8, 3), (2, 2, 1), (6, 40, 2), (64, 64, 1)]
)
def test_winograd_is_as_near_to_the_exact_convolution_as_a_plain_one(
    height: int, width: int, rows: int
) -> None:
    x, w = maps(256, height, width, rows), weights(32, 256)
    exact = F.conv2d(x.double(), w.double(), padding=1)
    y = Winograd(w)(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    error, plain = (float((z - exact).square().mean().sqrt()) for z in (y, F.conv2d(x, w, padding=1)))
    assert error < max(1.2 * plain, 5e-7)
    assert float((y - exact).abs().max()) < 1e-5


def test_winograd_is_for_wide_float32_maps_of_even_size_on_a_cpu() -> None:
    w = torch.empty(256, 256, 3, 3)
    assert winograd_pays(w, 16) and winograd_pays(w, 32)
    assert not winograd_pays(w, 8) and not winograd_pays(w, 17)
    assert not winograd_pays(w[:255], 16) and not winograd_pays(w[:, :255], 16)
    assert not winograd_pays(w.bfloat16(), 16) and not winograd_pays(w.to("meta"), 16)


def test_the_served_u2net_is_the_trained_one() -> None:
    torch.manual_seed(0)
    # Wide where the full size is, on maps as large.
    channels = [(4, 8)] * 3 + [(8, 256), (256, 256), (16, 16)] + [(256, 256), (8, 256)] + [(4, 8)] * 3
    net = U2Net(channels, align_corners=True).eval()
    for name, tensor in net.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        if name.endswith("running_mean"):
            tensor.normal_(std=0.1)
    net.outconv.weight.mul_(50)
    x = maps(3, 256, 256, 1) * 2 - 1
    served = served_u2net(net, 256, torch.float32, "cpu")
    kinds = {type(layer).__name__ for layer in served.modules()}
    assert {"PackedConvolution", "_WinogradLayer"} <= kinds and "Layer" not in kinds
    expected = net(x)
    assert float(expected.std()) > 0.05
    assert float((served(x) - expected).abs().max()) < 2e-5
    assert float((folded(net)(x) - expected).abs().max()) < 2e-5
