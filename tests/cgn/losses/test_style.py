"""Style losses: they separate textures, wherever in the picture these lie."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers  # type: ignore[import-untyped]

from cgn.errors import CgnInputError
from cgn.losses.style import VGG16_BLOCKS, VGG16_FILE, StyleLoss, Vgg16StyleLoss

# Indices of the convolutions among the features of torchvision's VGG16.
CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21)


def random_state() -> dict[str, torch.Tensor]:
    """Random weights under torchvision's names, and one tensor that the loss does not use."""
    torch.manual_seed(0)
    state = {"classifier.0.bias": torch.zeros(8)}
    before = 3
    for index, channels in zip(
        CONVOLUTIONS, [width for block in VGG16_BLOCKS for width in block], strict=True
    ):
        weight = torch.randn(channels, before, 3, 3) * (2 / (9 * before)) ** 0.5
        state |= {f"features.{index}.weight": weight, f"features.{index}.bias": torch.zeros(channels)}
        before = channels
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg16") / VGG16_FILE
    torch.save(random_state(), path)
    return path


@pytest.fixture(params=["random", "vgg16"])
def style(request: pytest.FixtureRequest, weights: Path) -> nn.Module:
    return StyleLoss() if request.param == "random" else Vgg16StyleLoss(str(weights))


@pytest.mark.parametrize("resolution", [32, 64])
def test_a_style_loss_separates_textures_but_not_their_places(style: nn.Module, resolution: int) -> None:
    stripes = torch.full((1, 3, resolution, resolution), -1.0)
    stripes[..., ::4] = 1
    shifted = stripes.roll((4, 8), dims=(2, 3))
    assert float(style(stripes, stripes)) == 0
    assert float(style(stripes, shifted)) < 0.05 * float(style(stripes, stripes.transpose(2, 3)))


def test_the_filters_are_fixed_and_only_the_generated_image_gets_a_gradient(weights: Path) -> None:
    assert not list(StyleLoss().parameters())
    vgg16 = Vgg16StyleLoss(str(weights))
    assert not any(parameter.requires_grad for parameter in vgg16.parameters())
    x_generated, x_real = torch.rand(2, 2, 3, 32, 32, requires_grad=True).unbind()
    x_generated.retain_grad()
    x_real.retain_grad()
    vgg16(x_generated, x_real).backward()
    assert x_generated.grad is not None and float(x_generated.grad.abs().sum()) > 0
    assert x_real.grad is None


def test_the_weights_are_torchs_own_from_its_cache(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / VGG16_FILE
    with pytest.raises(CgnInputError, match=rf"vgg16_weights: there is no file {cached}; put .* there"):
        Vgg16StyleLoss()
    cached.parent.mkdir(parents=True)
    cached.symlink_to(weights)
    passed, result = Vgg16StyleLoss(str(weights)).state_dict(), Vgg16StyleLoss().state_dict()
    assert all(torch.equal(result[name], tensor) for name, tensor in random_state().items() if name in result)
    assert passed.keys() == result.keys() == random_state().keys() - {"classifier.0.bias"}


def test_every_weight_that_is_missing_is_named(tmp_path: Path) -> None:
    state = random_state()
    del state["features.0.weight"], state["features.21.bias"]
    torch.save(state, tmp_path / "some.pth")
    with pytest.raises(CgnInputError, match=r"lacks features\.0\.weight, features\.21\.bias$"):
        Vgg16StyleLoss(str(tmp_path / "some.pth"))
    torch.save(random_state() | {"features.2.bias": torch.zeros(3)}, tmp_path / "some.pth")
    with pytest.raises(CgnInputError, match=r"features\.2\.bias is \(3,\), must be \(64,\)"):
        Vgg16StyleLoss(str(tmp_path / "some.pth"))


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.pth").write_bytes(content)
    with pytest.raises(CgnInputError, match=r"vgg16_weights: .*some\.pth is damaged or no state dict"):
        Vgg16StyleLoss(str(tmp_path / "some.pth"))


class Dangerous:
    """An object whose unpickling would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "ran")


def test_no_code_in_the_file_is_run(tmp_path: Path) -> None:
    torch.save(Dangerous(tmp_path / "trace"), tmp_path / "some.pth")
    with pytest.raises(CgnInputError, match="damaged or no state dict"):
        Vgg16StyleLoss(str(tmp_path / "some.pth"))
    assert not (tmp_path / "trace").exists()
    torch.save([1, 2], tmp_path / "some.pth")
    with pytest.raises(CgnInputError, match="holds a list"):
        Vgg16StyleLoss(str(tmp_path / "some.pth"))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_layers_are_torchvision_s(tmp_path: Path, batch_norm: bool) -> None:
    torch.manual_seed(0)
    features = make_layers(cfgs["D"], batch_norm=batch_norm).eval()
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.randn(layer.num_features)
    state = {f"features.{name}": tensor for name, tensor in features.state_dict().items()}
    state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "vgg16.pth")
    style = Vgg16StyleLoss(str(tmp_path / "vgg16.pth"), batch_norm=batch_norm)

    x, y = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pools = [i for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]

    def gram(picture: torch.Tensor, block: int) -> torch.Tensor:
        # The features before the pooling; with batch norm, those after it.
        h = features[: pools[block] + batch_norm](picture).flatten(2)
        return h @ h.mT / (h.shape[1] * h.shape[2])

    with torch.no_grad():
        for block in range(4):
            only = [float(i == block) for i in range(4)]
            expected = (gram(x, block) - gram(y, block)).abs().mean()
            torch.testing.assert_close(style(x, y, only), expected)
            assert float(expected) > 0
        apart = style(x, y, (0.0, 1.0, 0.0, 0.0)) + 2 * style(x, y, (0.0, 0.0, 1.0, 0.0))
        torch.testing.assert_close(style(x, y, (0.0, 1.0, 2.0, 0.0)), apart)
