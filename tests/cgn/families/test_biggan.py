"""BigGAN: the authors' parameters, random weights that mean something, and the served form's equality."""

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from pytorch_pretrained_biggan import BigGAN as PackageBigGAN  # type: ignore[import-untyped]
from pytorch_pretrained_biggan import BigGANConfig

from cgn.errors import CgnInputError
from cgn.families.imagenet import biggan_served
from cgn.families.imagenet.biggan import LAYERS, N_STATS, BigGAN, BigGANSizes, calibrate
from cgn.families.imagenet.biggan_served import ServedBigGAN
from cgn.kernels import winograd

SMALL = BigGANSizes.at(32, classes=7, ch=8, z_dim=24)
TALL = BigGANSizes.at(64, classes=10, ch=16, z_dim=32)
WIDE = BigGANSizes.at(32, classes=5, ch=64, z_dim=16)  # as wide as the full size's middle
LATE = BigGANSizes(3, 8, 16, ((True, 16, 8), (False, 8, 4), (True, 4, 2), (False, 2, 1)), 3)

# On the grid of statistics, between its rows, below its first row, and where floats fall off it.
TRUNCATIONS = (1.0, 0.5, 0.14, 0.94, 0.137, 0.7771, 0.005)


@cache
def trained(sizes: BigGANSizes) -> BigGAN:
    """Calibrated random weights; not to be changed."""
    torch.manual_seed(0)
    biggan = BigGAN(sizes).eval().requires_grad_(False)
    calibrate(biggan, seed=1)
    return biggan


def served(biggan: BigGAN, **options) -> ServedBigGAN:
    return ServedBigGAN(biggan.sizes, biggan.state_dict(), **options)


def package(biggan: BigGAN) -> PackageBigGAN:
    """The package's own module with the same weights."""
    sizes = biggan.sizes
    config = BigGANConfig(
        output_dim=sizes.resolution,
        z_dim=sizes.z_dim,
        class_embed_dim=sizes.z_dim,
        channel_width=sizes.ch,
        num_classes=sizes.classes,
        layers=list(sizes.layers),
        attention_layer_position=sizes.attention,
    )
    module = PackageBigGAN(config).eval().requires_grad_(False)
    module.load_state_dict(biggan.state_dict())
    return module


def causes(sizes: BigGANSizes, rows: int = 3, seed: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Truncated noise, and a label, another one, and a mixture, over and over."""
    generator = torch.Generator().manual_seed(seed)
    u_NL = torch.nn.init.trunc_normal_(torch.empty(rows, sizes.z_dim), a=-2, b=2, generator=generator)
    y_NC = torch.zeros(rows, sizes.classes)
    y_NC[0::3, 0] = y_NC[1::3, -1] = 1
    y_NC[2::3, 0], y_NC[2::3, 1] = 0.25, 0.75
    return u_NL, y_NC


def with_rows(biggan: BigGAN, change: Callable[[torch.Tensor], torch.Tensor]) -> BigGAN:
    """Another one, with other batch-norm statistics."""
    other = BigGAN(biggan.sizes, mend_truncation=biggan.mend_truncation).eval().requires_grad_(False)
    state = biggan.state_dict()
    other.load_state_dict({k: change(t).expand_as(t) if ".running_" in k else t for k, t in state.items()})
    return other


def authors_keys() -> set[str]:
    normed = [f"{k}.{part}" for k in ("scale", "offset") for part in ("weight_orig", "weight_u", "weight_v")]
    statistics = ["running_means", "running_vars"]
    spectral = ["weight_orig", "weight_u", "weight_v"]
    keys = {"embeddings.weight", "generator.layers.8.gamma"}
    keys |= {f"generator.{k}.{part}" for k in ("gen_z", "conv_to_rgb") for part in [*spectral, "bias"]}
    keys |= {f"generator.bn.{part}" for part in ["weight", "bias", *statistics]}
    for i in [*range(8), *range(9, 13)]:
        for k in range(4):
            keys |= {f"generator.layers.{i}.bn_{k}.{part}" for part in normed + statistics}
            keys |= {f"generator.layers.{i}.conv_{k}.{part}" for part in [*spectral, "bias"]}
    for name in ("theta", "phi", "g", "o_conv"):
        keys |= {f"generator.layers.8.snconv1x1_{name}.{part}" for part in spectral}
    return keys


def test_the_full_size_has_the_authors_602_keys() -> None:
    with torch.device("meta"):
        state = BigGAN(BigGANSizes.at(256)).state_dict()
    assert set(state) == authors_keys()
    assert len(state) == 602
    assert state["embeddings.weight"].shape == (128, 1000)
    assert state["generator.layers.12.conv_3.weight_orig"].shape == (128, 64, 1, 1)
    assert state["generator.layers.0.bn_0.running_means"].shape == (51, 2048)


@pytest.mark.parametrize("resolution", LAYERS)
def test_layers_make_the_resolution(resolution: int) -> None:
    assert BigGANSizes.at(resolution, ch=8).resolution == resolution


@pytest.mark.parametrize("sizes", [SMALL, TALL, WIDE, LATE], ids=["small", "tall", "wide", "late"])
@pytest.mark.parametrize("truncation", TRUNCATIONS)
def test_trained_and_served_are_the_package(sizes: BigGANSizes, truncation: float) -> None:
    biggan = trained(sizes)
    u_NL, y_NC = causes(sizes)
    expected = package(biggan)(truncation * u_NL, y_NC, truncation)
    assert expected.std() > 0.2
    assert torch.equal(biggan(truncation * u_NL, y_NC, truncation), expected)
    x = served(biggan)(truncation * u_NL, y_NC, truncation)
    assert x.shape == (3, 3, sizes.resolution, sizes.resolution)
    assert float((x - expected).abs().max()) < 2e-5


@pytest.mark.parametrize("truncation", [1.0, 0.137])
def test_with_the_convolutions_of_the_full_size_it_is_the_package_too(
    truncation: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {type(m).__name__ for m in served(trained(TALL)).modules()}
    assert {"_Convolution", "_Subpixel"} <= plain
    monkeypatch.setattr(winograd, "_FEWEST_CHANNELS", 16)
    monkeypatch.setattr(biggan_served, "PACKED_FROM", 1)
    wide = served(trained(TALL))
    assert {"_Packed", "_Subpixel", "Winograd"} <= {type(m).__name__ for m in wide.modules()}
    u_NL, y_NC = causes(TALL)
    expected = package(trained(TALL))(truncation * u_NL, y_NC, truncation)
    assert float((wide(truncation * u_NL, y_NC, truncation) - expected).abs().max()) < 2e-5


@pytest.mark.parametrize("sizes", [TALL, WIDE], ids=["tall", "wide"])
@pytest.mark.parametrize("truncation", [1.0, 0.137])
def test_bfloat16_is_close(sizes: BigGANSizes, truncation: float) -> None:
    biggan = trained(sizes)
    u_NL, y_NC = causes(sizes, rows=6)
    expected = biggan(truncation * u_NL, y_NC, truncation)
    low = served(biggan, dtype=torch.bfloat16)
    x = low(truncation * u_NL, y_NC, truncation)
    assert x.dtype == torch.float32
    assert 0 < float((x - expected).square().mean().sqrt()) < 0.08 * float(expected.std())
    assert sum(t.nbytes for t in low.buffers()) < 0.6 * sum(t.nbytes for t in biggan.state_dict().values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_row_is_the_same_alone_and_among_others(dtype: torch.dtype) -> None:
    u_NL, y_NC = causes(SMALL, rows=4)
    one_by_one = served(trained(SMALL), dtype=dtype)
    x = one_by_one(u_NL, y_NC, 0.5)
    for i in range(4):
        assert torch.equal(one_by_one(u_NL[i : i + 1], y_NC[i : i + 1], 0.5), x[i : i + 1])
    together = served(trained(SMALL), dtype=dtype, rows_at_once=4)(u_NL, y_NC, 0.5)
    rounding = 1e-5 if dtype == torch.float32 else 0.04
    assert float((together - x).square().mean().sqrt()) < rounding


@pytest.mark.parametrize("places", range(1, 16, 2))
def test_rows_do_not_depend_on_where_in_memory_the_weights_lie(places: int) -> None:
    def moved(tensor: torch.Tensor) -> torch.Tensor:
        """The same values, as many float32 places into an allocation: so they lie in a mapped file."""
        memory = torch.empty(places + tensor.numel())
        memory[places:] = tensor.flatten()
        return memory[places:].view(tensor.shape)

    weights = {name: moved(tensor) for name, tensor in trained(SMALL).state_dict().items()}
    assert torch.equal(
        ServedBigGAN(SMALL, weights)(*causes(SMALL), 0.5), served(trained(SMALL))(*causes(SMALL), 0.5)
    )


def test_the_served_form_keeps_none_of_the_trained_one() -> None:
    weights = {name: tensor.clone() for name, tensor in trained(SMALL).state_dict().items()}
    before = served(trained(SMALL))(*causes(SMALL), 1.0)
    form = ServedBigGAN(SMALL, weights)
    for tensor in weights.values():
        tensor.fill_(math.nan)
    assert torch.equal(form(*causes(SMALL), 1.0), before)


@pytest.mark.parametrize("sizes", [SMALL, TALL, WIDE], ids=["small", "tall", "wide"])
def test_calibrated_weights_make_pictures_that_differ(sizes: BigGANSizes) -> None:
    biggan = trained(sizes)
    u_NL, _ = causes(sizes)
    y_NC = torch.eye(sizes.classes)[:3]
    for truncation in (1.0, 0.5, 0.2):
        x = biggan(truncation * u_NL, y_NC, truncation)
        assert x.isfinite().all()
        assert x.std() > 0.2
        other_label = biggan(truncation * u_NL, y_NC.roll(1, dims=0), truncation)
        other_seed = biggan(truncation * u_NL.roll(1, dims=0), y_NC, truncation)
        assert (x - other_label).abs().mean() > 0.1
        assert (x - other_seed).abs().mean() > 0.1


@pytest.mark.parametrize("row", [1, 12, 25, 38, 50])
def test_calibrated_statistics_are_those_of_their_truncation(row: int) -> None:
    ratios: list[torch.Tensor] = []

    def compare(norm: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        ratios.append((inputs[0].var((0, 2, 3)) / norm.get_buffer("running_vars")[row]).log().mean().exp())

    biggan = with_rows(trained(TALL), lambda t: t)
    for module in biggan.modules():
        if hasattr(module, "running_vars"):
            module.register_forward_pre_hook(compare)
    u_NL, _ = causes(TALL, rows=128, seed=3)
    biggan(row / 50 * u_NL, torch.eye(10)[torch.arange(128) % 10], row / 50)
    assert len(ratios) == 4 * 7 + 1
    assert all(0.6 < ratio < 1.6 for ratio in ratios)


def test_calibration_depends_on_its_seed_alone() -> None:
    def picture(seed: int) -> torch.Tensor:
        torch.manual_seed(0)
        biggan = BigGAN(SMALL).eval()
        calibrate(biggan, seed)
        return biggan(*causes(SMALL), 1.0)

    assert torch.equal(picture(1), picture(1))
    assert (picture(1) - picture(2)).abs().mean() > 0.1


def test_power_iterations_are_converged() -> None:
    # A pass in training mode makes one more step of each, which changes next to nothing.
    biggan = with_rows(trained(SMALL), lambda t: t)
    before = biggan(*causes(SMALL), 1.0)
    after = biggan.train()(*causes(SMALL), 1.0)
    assert float((after - before).abs().max()) < 1e-3


def test_training_moves_power_iterations_not_statistics() -> None:
    torch.manual_seed(0)
    biggan = BigGAN(SMALL).train()
    before = {name: tensor.clone() for name, tensor in biggan.state_dict().items()}
    biggan(*causes(SMALL), 1.0)
    for name, tensor in biggan.state_dict().items():
        moves = name.endswith((".weight_u", ".weight_v"))
        assert torch.equal(tensor, before[name]) != moves, name


def test_gradients_reach_every_parameter_in_training() -> None:
    biggan = with_rows(trained(SMALL), lambda t: t).train().requires_grad_(True)
    biggan(*causes(SMALL), 1.0).square().mean().backward()
    for name, parameter in biggan.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


# 0.125 is a quarter of the way from row 6 to row 7; the others are rows, which floats miss by a hair.
RIGHT = [(0.125, 6, 0.25), *[(t, round(t * 50) - 1, 1.0) for t in (0.14, 0.28, 0.56, 0.58, 0.94, 0.5, 1.0)]]


@pytest.mark.parametrize(("truncation", "row", "share"), RIGHT)
def test_mended_truncation_interpolates_rightly(truncation: float, row: int, share: float) -> None:
    u_NL, y_NC = causes(SMALL)
    u_NL = truncation * u_NL
    right = with_rows(trained(SMALL), lambda t: torch.lerp(t[row], t[row + 1], share))(u_NL, y_NC, 1.0)
    mended = BigGAN(SMALL, mend_truncation=True).eval().requires_grad_(False)
    mended.load_state_dict(trained(SMALL).state_dict())
    for form in (mended, served(mended, mend_truncation=True)):
        assert float((form(u_NL, y_NC, truncation) - right).abs().max()) < 3e-5


def test_by_default_the_weights_of_the_rows_are_swapped() -> None:
    # A row that is far from its neighbours shows whose weight it gets.
    def outlier(t: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.arange(N_STATS)[:, None] == 7, 2 * t, t)

    u_NL, y_NC = causes(SMALL)
    biggan = with_rows(trained(SMALL), outlier)
    wrong = with_rows(biggan, lambda t: torch.lerp(t[6], t[7], 0.75))(u_NL, y_NC, 1.0)
    right = with_rows(biggan, lambda t: torch.lerp(t[6], t[7], 0.25))(u_NL, y_NC, 1.0)
    assert (wrong - right).abs().mean() > 0.05
    for form in (biggan, served(biggan)):
        assert float((form(u_NL, y_NC, 0.125) - wrong).abs().max()) < 3e-5


@pytest.mark.parametrize("truncation", [0.0, -0.5, 1.0001, math.nan, math.inf])
def test_truncation_outside_its_range_is_refused(truncation: float) -> None:
    for form in (trained(SMALL), served(trained(SMALL))):
        with pytest.raises(CgnInputError, match=r"truncation: .* is outside \(0, 1\]"):
            form(*causes(SMALL), truncation)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        (lambda: BigGANSizes.at(128), "resolution: 128 is not one that BigGAN is built for: 32, 64, 256"),
        (lambda: BigGANSizes.at(32, ch=1), "architecture: ch 1 leaves a block or the attention without"),
        (lambda: BigGANSizes.at(32, classes=0), "architecture: 0 classes"),
        (lambda: BigGANSizes.at(32, z_dim=0), "at least 1 of each"),
        (lambda: BigGANSizes(2, 8, 8, ((True, 8, 8),), 0), "block 0 is 8-8; it must take 16"),
        (lambda: BigGANSizes(2, 8, 8, ((True, 16, 4),), 0), "block 0 is 16-4"),
        (lambda: BigGANSizes(2, 8, 8, ((True, 16, 8),), 0), "ends with 8 ch; let it end with 1"),
        (lambda: BigGANSizes(2, 8, 8, LAYERS[32][0], 6), "attention before block 6; there are 6"),
    ],
)
def test_sizes_that_make_no_network_are_refused(sizes: Callable[[], BigGANSizes], says: str) -> None:
    with pytest.raises(CgnInputError) as error:
        sizes()
    assert says in str(error.value)


def test_weights_of_other_sizes_are_refused() -> None:
    weights = trained(SMALL).state_dict()
    with pytest.raises(CgnInputError, match="weights: embeddings.weight is 24x7, not 24x8"):
        ServedBigGAN(BigGANSizes.at(32, classes=8, ch=8, z_dim=24), weights)
    with pytest.raises(CgnInputError, match="weights: generator.layers.* give"):
        ServedBigGAN(BigGANSizes.at(64, classes=7, ch=8, z_dim=24), weights)
    del weights["generator.bn.bias"]
    with pytest.raises(CgnInputError, match="weights: generator.bn.bias is missing"):
        ServedBigGAN(SMALL, weights)
    with pytest.raises(CgnInputError, match="dtype: torch.float16 is not served"):
        served(trained(SMALL), dtype=torch.float16)
