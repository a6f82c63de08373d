"""U²-Net: published files fit, the real weights find objects, the served form is the same function."""

import copy
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from cgn.data import load_textures
from cgn.errors import CgnInputError
from cgn.families.imagenet.u2net import (
    PRESETS,
    U2Net,
    build_u2net,
    find_object,
    folded,
    load_u2net,
    saliency_loss,
)
from cgn.families.imagenet.u2net_served import served_u2net

DATA = Path(os.environ.get("CGN_DATA_DIR", "no-data"))
REAL = DATA / "u2net" / "u2netp.safetensors"
needs_real_weights = pytest.mark.skipif(
    not (REAL.is_file() and (DATA / "textures").is_dir()),
    reason="CGN_DATA_DIR has no u2net/u2netp.safetensors, or no textures",
)
TINY = [(4, 8)] * 11


def pictures(side: int = 64) -> torch.Tensor:
    """Real or procedural textures, each with another one as a square in its middle: (10, 3, side, side)."""
    textures = load_textures()
    x_NHWC = textures.background.copy()
    x_NHWC[:, 50:100, 50:100] = textures.object[:, 50:100, 50:100]
    x_N3HW = torch.tensor(x_NHWC).movedim(-1, 1) / 127.5 - 1
    return nn.functional.interpolate(x_N3HW, (side, side), mode="bilinear", antialias=True)


def squares(side: int = 64) -> torch.Tensor:
    """The masks of ``pictures``."""
    mask_N1HW = torch.zeros(10, 1, side, side)
    mask_N1HW[..., side // 3 : 2 * side // 3, side // 3 : 2 * side // 3] = 1
    return mask_N1HW


@pytest.fixture(scope="module")
def tiny() -> U2Net:
    """A network whose weights and statistics have come from ``pictures``, in eval mode."""
    torch.manual_seed(0)
    net, x, mask = U2Net(TINY), pictures(), squares()
    optimiser = torch.optim.Adam(net.parameters())
    for step in range(80):
        optimiser.param_groups[0]["lr"] = 5e-3 if step < 70 else 5e-4  # the norms' statistics catch up
        optimiser.zero_grad()
        saliency_loss(net.logits(x), mask).backward()
        optimiser.step()
    return net.eval()


def published_names() -> set[str]:
    """The parameters of the authors' two files, from the structure that their paper draws (figure 5)."""
    plain = [*(f"side{i}" for i in range(1, 7)), "outconv"]
    names = {f"{name}.{part}" for name in plain for part in ("weight", "bias")}
    top = {"1": 7, "2": 6, "3": 5, "4": 4, "5": 4, "6": 4, "5d": 4, "4d": 4, "3d": 5, "2d": 6, "1d": 7}
    for stage, height in top.items():
        layers = ["in", *(f"{i}" for i in range(1, height + 1)), *(f"{i}d" for i in range(1, height))]
        for layer in layers:
            prefix = f"stage{stage}.rebnconv{layer}"
            names |= {f"{prefix}.conv_s1.{part}" for part in ("weight", "bias")}
            bn = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            names |= {f"{prefix}.bn_s1.{part}" for part in bn}
    return names


@pytest.mark.parametrize(("preset", "millions"), [("full", 44.0), ("small", 1.13)])
def test_names_and_sizes_are_those_of_the_published_files(preset, millions) -> None:
    with torch.device("meta"):
        net = U2Net(PRESETS[preset])
    state = net.state_dict()
    assert set(state) == published_names()
    assert len(state) == 798
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, rel=0.005)


@needs_real_weights
def test_the_published_file_has_exactly_these_tensors() -> None:
    assert set(load_file(REAL)) == {n for n in published_names() if not n.endswith("num_batches_tracked")}


def photograph(label: int, radius: int = 85, centre: tuple[int, int] = (130, 230)):
    """A ball on a table cloth, 300 x 400: real textures, lit from above left, with a soft shadow.

    Returns uint8 pixels and the true mask.
    """
    cloth, skin = (
        np.asarray(
            Image.open(next((DATA / "textures" / kind).glob(f"{label}_*"))).convert("RGB").resize((400, 300))
        )
        for kind in ("background", "object")
    )
    row, column = np.mgrid[:300, :400].astype(np.float32)
    y, x = (row - centre[0]) / radius, (column - centre[1]) / radius
    inside, height = y**2 + x**2 <= 1, np.sqrt(np.clip(1 - y**2 - x**2, 0, 1))
    light = np.clip(0.25 + 0.9 * (-0.5 * y - 0.4 * x + 0.77 * height), 0, 1.2)
    shadow = 1 - 0.6 * np.exp(-(((y - 0.95) / 0.25) ** 2 + ((x - 0.2) / 0.9) ** 2))
    pixels = np.where(inside[..., None], skin * light[..., None], 0.7 * cloth * shadow[..., None])
    return np.clip(pixels, 0, 255).astype(np.uint8), inside


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union."""
    return (mask & truth).sum() / (mask | truth).sum()


@needs_real_weights
@pytest.mark.parametrize("label", [2, 5, 8])
def test_the_real_weights_find_the_object_of_a_photograph(label) -> None:
    net = load_u2net(REAL)
    pixels, truth = photograph(label)
    mask = find_object(net, pixels)
    assert mask.shape == (300, 400) and mask.dtype == np.float32
    assert 0 <= mask.min() < 0.01 and 0.99 < mask.max() <= 1
    assert overlap(mask > 0.5, truth) > 0.95
    # Smaller, off the middle, in a mirror, and in half the light: it is the object that is found.
    pixels, truth = photograph(label, radius=50, centre=(190, 110))
    assert overlap(find_object(net, pixels) > 0.5, truth) > 0.95
    assert overlap(find_object(net, pixels[:, ::-1]) > 0.5, truth[:, ::-1]) > 0.95
    assert overlap(find_object(folded(net), pixels // 2) > 0.5, truth) > 0.95


@needs_real_weights
def test_on_a_generators_pictures_the_mask_is_the_object_too() -> None:
    # As the CGN feeds it: 256 pixels in [-1, 1], nothing normalised, the probability as it is.
    net = load_u2net(REAL, align_corners=True)
    for label in (2, 5, 8):
        pixels, truth = photograph(label)
        x_13HW = torch.tensor(pixels).movedim(-1, 0)[None] / 127.5 - 1
        x_13HW = nn.functional.interpolate(x_13HW, (256, 256), mode="bilinear", antialias=True)
        with torch.no_grad():
            mask = nn.functional.interpolate(net(x_13HW), truth.shape)[0, 0].numpy()
        assert overlap(mask > 0.5, truth) > 0.95


@pytest.mark.parametrize("pixels", [np.zeros((40, 50, 3), np.uint8), np.full((33, 400, 3), 255, np.uint8)])
def test_a_picture_of_nothing_gives_a_mask_all_the_same(pixels, tiny) -> None:
    mask = find_object(tiny, pixels)
    assert mask.shape == pixels.shape[:2]
    assert np.isfinite(mask).all() and 0 <= mask.min() <= mask.max() <= 1


@pytest.mark.parametrize("shape", [(40, 40), (40, 40, 4), (3, 40, 40), (0, 40, 3), (40, 40, 3)])
def test_other_pixels_than_rgb_bytes_are_refused(shape, tiny) -> None:
    pixels = np.zeros(shape, np.float32 if shape == (40, 40, 3) else np.uint8)
    with pytest.raises(CgnInputError, match=r"^pixels: .* must be uint8 \(height, width, 3\)"):
        find_object(tiny, pixels)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 32), (50, 131)])
@pytest.mark.parametrize("align_corners", [False, True])
def test_pictures_of_any_size_from_32_on(size, align_corners) -> None:
    torch.manual_seed(0)
    net = U2Net(TINY, align_corners=align_corners).eval()
    x_23HW = torch.randn(2, 3, *size)
    with torch.no_grad():
        p, logits = net(x_23HW), net.logits(x_23HW)
    assert p.shape == (2, 1, *size) and logits.shape == (2, 7, *size)
    torch.testing.assert_close(p, logits[:, :1].sigmoid())
    assert 0 <= float(p.min()) < float(p.max()) <= 1


def test_the_maps_come_from_deeper_and_deeper(tiny) -> None:
    # A side output of depth d is one value for every 2^(d-1) pixels, scaled up: the deeper, the smoother.
    with torch.no_grad():
        maps_7HW = tiny.logits(pictures())[0]
    rough = maps_7HW.diff(n=2, dim=-1).abs().mean(dim=(1, 2)) / maps_7HW.std(dim=(1, 2))
    assert rough[1] > rough[3] > rough[5] > rough[6]


def test_training_learns_where_the_object_is(tiny) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        before = saliency_loss(U2Net(TINY).logits(pictures()), squares())
        after = saliency_loss(tiny.logits(pictures()), squares())
        mask = tiny(pictures()) > 0.5
    assert after < before / 2
    assert overlap(mask.numpy(), squares().numpy() > 0.5) > 0.8


def test_the_loss_is_the_sum_of_seven_cross_entropies() -> None:
    torch.manual_seed(0)
    logits, mask = torch.randn(2, 7, 32, 32), (torch.rand(2, 1, 32, 32) > 0.5).float()
    expected = sum(nn.functional.binary_cross_entropy(logits[:, [i]].sigmoid(), mask) for i in range(7))
    assert saliency_loss(logits, mask) == pytest.approx(float(expected), rel=1e-5)


def test_gradients_reach_every_parameter_and_the_picture() -> None:
    torch.manual_seed(0)
    net, x = U2Net(TINY), pictures().requires_grad_()
    saliency_loss(net.logits(x), squares()).backward()
    assert x.grad is not None and float(x.grad.abs().max()) > 0
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        # A bias before a batch norm has no effect, so no gradient either.
        assert parameter.grad.abs().max() > 0 or name.endswith("conv_s1.bias"), name


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_served_form_is_the_same_function(align_corners, tiny) -> None:
    net = build_u2net(tiny.state_dict(), "tiny", TINY, align_corners=align_corners)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert all(float((t - 1).abs().max()) > 0.1 for name, t in before.items() if name.endswith("_var"))
    served, x = folded(net), pictures()
    with torch.no_grad():
        p, q = net(x), served(x)
    assert float(p.std()) > 0.05  # or equality would mean nothing
    assert float((p - q).abs().max()) < 1e-5
    assert not any(isinstance(m, nn.BatchNorm2d) for m in served.modules())
    assert not any(p.requires_grad for p in served.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(p.requires_grad for p in net.parameters())
    assert torch.equal(folded(served)(x), q)


@needs_real_weights
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_served_form_of_the_real_weights_is_the_same_function(align_corners) -> None:
    net, x = load_u2net(REAL, align_corners=align_corners), pictures(96)[:4]
    with torch.no_grad():
        published = net(x)
        unfold(net, x)
        p, q = net(x), folded(net)(x)
        fast = served_u2net(net, 96, torch.float32, "cpu")(x)
        double = copy.deepcopy(net).double()
        exact = double(x.double())
        assert float(p.std()) > 0.05
        assert float((folded(double)(x.double()) - exact).abs().max()) < 1e-10
    # Single precision rounds, in either form; neither may be much further off than the other.
    error, error_folded = float((p - exact).abs().max()), float((q - exact).abs().max())
    assert error_folded < 3 * error < 1e-3
    assert float((fast - exact).abs().max()) < 3 * error
    assert float((q - p).abs().mean()) < 1e-5
    assert float((p - published).abs().mean()) < 1e-5


def unfold(net: U2Net, x_N3HW: torch.Tensor) -> None:
    """Puts a network's batch norms to work: its function stays.

    In the published small file they are folded already. Here every channel of a convolution is scaled at
    random, and the norm after it is given the statistics that it meets in the pictures, and the weight and
    bias that undo both.
    """
    torch.manual_seed(0)
    hooks = []
    for prefix in [name.removesuffix(".bn_s1") for name, _ in net.named_modules() if name.endswith(".bn_s1")]:
        conv, norm = net.get_submodule(f"{prefix}.conv_s1"), net.get_submodule(f"{prefix}.bn_s1")
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        scale = torch.randn(conv.out_channels).exp()
        conv.weight.mul_(scale.view(-1, 1, 1, 1))
        conv.bias.mul_(scale)

        def settle(norm, inputs, scale=scale) -> None:
            norm.running_var, norm.running_mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
            norm.weight.copy_((norm.running_var + norm.eps).sqrt() / scale)
            norm.bias.copy_(norm.running_mean / scale)

        hooks.append(norm.register_forward_pre_hook(settle))
    net(x_N3HW)
    for hook in hooks:
        hook.remove()


def test_a_mechanism_can_be_trained_through_the_served_form(tiny) -> None:
    # In double precision, as rounding may move a value to the other side of a ReLU or a pooled maximum.
    net, x = copy.deepcopy(tiny).double(), pictures()[:2].double().requires_grad_()
    a, b = (torch.autograd.grad(form(x).mean(), x)[0] for form in (net, folded(net)))
    assert 0 < float((a - b).abs().max()) < 1e-9 * float(a.abs().max())


def test_align_corners_changes_the_mask(tiny) -> None:
    x, state = pictures(), tiny.state_dict()
    with torch.no_grad():
        p, q = (build_u2net(state, "tiny", TINY, align_corners=option)(x) for option in (False, True))
        assert torch.equal(p, tiny(x))
        assert float((p - q).abs().max()) > 0.01


@pytest.mark.parametrize("channels", [[(4, 8)] * 10, [(4, 8)] * 12, [(4, 0)] * 11, [(4,)] * 11])
def test_channels_must_be_eleven_pairs(channels) -> None:
    with pytest.raises(CgnInputError, match=r"^channels: .* must be 11 pairs"):
        U2Net(channels)


def random_state(channels) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return U2Net(channels).state_dict()


@pytest.mark.parametrize("channels", PRESETS.values())
@pytest.mark.parametrize("file", ["u2net.pth", "legacy.pth", "parallel.pth", "u2net.safetensors"])
def test_a_file_is_known_by_its_tensors(file, channels, tmp_path) -> None:
    state, path = random_state(channels), tmp_path / file
    if file == "u2net.safetensors":  # without counters, as some files are
        save_file({n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}, path)
    elif file == "parallel.pth":
        torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=file != "legacy.pth")
    random_before = torch.get_rng_state()
    net = load_u2net(path)
    assert torch.equal(torch.get_rng_state(), random_before)
    assert not net.training and not net.align_corners
    loaded = net.state_dict()
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    assert all(p.requires_grad and p.dtype == torch.float32 for p in net.parameters())


def test_half_precision_and_own_channels_load_too(tmp_path) -> None:
    state = random_state(TINY)
    save_file({n: t.half() for n, t in state.items() if t.is_floating_point()}, tmp_path / "tiny.safetensors")
    net = load_u2net(tmp_path / "tiny.safetensors", TINY, align_corners=True)
    assert net.align_corners
    assert torch.equal(net.outconv.weight, state["outconv.weight"].half().float())
    with pytest.raises(CgnInputError, match="in another shape.* instead of .*full or small"):
        load_u2net(tmp_path / "tiny.safetensors")


W, B = "side1.weight", "side3.bias"
WRONG = {
    "missing": (lambda s: {n: t for n, t in s.items() if n != B}, f"lacks {B}; give"),
    "renamed": (
        lambda s: {"bias" if n == B else n: t for n, t in s.items()},
        f"lacks {B}; has unknown bias; give",
    ),
    "half prefixed": (lambda s: {**s, f"module.{B}": s[B]}, f"has unknown module.{B}; give"),
    "shape": (
        lambda s: {**s, W: s[W][:, :1]},
        f"has in another shape {W} (1, 1, 3, 3) instead of (1, 64, 3, 3); give",
    ),
    "not a number": (lambda s: {**s, W: s[W] * float("nan")}, f"has non-finite {W}; give"),
    "infinite in float32": (lambda s: {**s, W: s[W].double() * 1e300}, f"has non-finite {W}; give"),
    "another network": (lambda s: {"fc": s[W]}, "and 683 more; has unknown fc; give"),
    "nothing": (lambda s: {}, "and 683 more; give the weights of a full or small U²-Net"),
    "more than weights": (lambda s: {"model": s, "step": 3}, "is no state dict; save net.state_dict() alone"),
    "numbered": (lambda s: {0: s[W]}, "is no state dict"),
    "a list": (lambda s: [s[W]], "is no state dict"),
}


@pytest.mark.parametrize("way", WRONG)
def test_wrong_weights_are_named(way, tmp_path) -> None:
    change, says = WRONG[way]
    path = tmp_path / "u2netp.pth"
    torch.save(change(random_state(PRESETS["small"])), path)
    with pytest.raises(CgnInputError, match=rf"^weights: {path} .*{re.escape(says)}") as caught:
        load_u2net(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["zip.pth", "legacy.pth", "u2netp.safetensors"])
def test_a_truncated_file_is_refused(kind, part, tmp_path) -> None:
    state, path = random_state(PRESETS["small"]), tmp_path / kind
    if kind.endswith(".pth"):
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip.pth")
    else:
        save_file(state, path)
    load_u2net(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(CgnInputError, match=rf"^weights: .*{kind} is damaged, cut short or no file"):
        load_u2net(path)


def test_nothing_in_a_file_is_executed(tmp_path) -> None:
    class Surprise:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"side1.bias": Surprise()}, tmp_path / "evil.pth")
    with pytest.raises(CgnInputError, match=r"or no file of weights \(UnpicklingError\)"):
        load_u2net(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()


def test_no_such_file_and_no_such_kind(tmp_path) -> None:
    with pytest.raises(CgnInputError, match=r"^weights: there is no file .*none.pth$"):
        load_u2net(tmp_path / "none.pth")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(CgnInputError, match=r"cannot be read \(Is a directory\)"):
        load_u2net(tmp_path / "folder.safetensors")
    with pytest.raises(CgnInputError, match=r"u2net.onnx must be a .safetensors or a .pth file"):
        load_u2net(tmp_path / "u2net.onnx")
