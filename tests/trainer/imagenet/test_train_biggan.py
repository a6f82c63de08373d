"""Training of a BigGAN: statistics of the batch, stored statistics, and bit-exact resumption."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from cgn.families.imagenet.biggan import N_STATS, BigGAN, BigGANSizes
from cgn.families.imagenet.biggan_served import ServedBigGAN
from cgn.families.network import truncated_noise
from trainer.gan.game import update_average
from trainer.imagenet.biggan import fresh, train_biggan
from trainer.imagenet.biggan_statistics import normalise_by_batch, store_statistics
from trainer.imagenet.start_config import TrainBigganConfig
from trainer.run.context import RunContext, RunError, StopFlag, Stopped
from trainer.run.report import Reporter

SIZES = BigGANSizes.at(32, classes=4, ch=8, z_dim=16)
TINY = TrainBigganConfig(
    ch=8, z_dim=16, steps=5, batch_size=8, train_images=100, checkpoint_every=100, sample_every=100
)


@pytest.fixture(autouse=True)
def bundled_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    torch.set_num_threads(1)


def context(folder: Path, version: str = "v1", *, resume: bool = False) -> RunContext:
    run_dir, models_dir = folder / version, folder / "models"
    run_dir.mkdir(exist_ok=True)
    reporter = Reporter(run_dir, models_dir, jsonl=True)
    return RunContext(run_dir, models_dir, "cpu", version, resume, reporter, StopFlag())


def noise_and_labels(count: int, seed: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    u_NL = truncated_noise(count, SIZES.z_dim, torch.Generator().manual_seed(seed))
    return u_NL, F.one_hot(torch.arange(count) % SIZES.classes, SIZES.classes).float()


@cache
def averaged() -> tuple[BigGAN, BigGAN]:
    """Returns a BigGAN after some steps towards one grey per class, and its average. Do not change them."""
    torch.manual_seed(0)
    network = fresh(SIZES)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    normalise_by_batch(network)
    adam = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(30):
        u_NL, y_NC = noise_and_labels(16, seed=step)
        grey = torch.tensor([-0.6, -0.2, 0.2, 0.6])[torch.arange(16) % 4]
        loss = (network(u_NL, y_NC, 1.0) - grey[:, None, None, None]).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        update_average(average, network, step + 1)
    return network, average


@cache
def stored() -> BigGAN:
    """Returns the average with its own stored statistics. Do not change it."""
    biggan = copy.deepcopy(averaged()[1])
    store_statistics(biggan)
    return biggan


def test_pictures_of_a_fresh_network_differ_by_noise_and_by_label() -> None:
    torch.manual_seed(0)
    network = fresh(SIZES)
    normalise_by_batch(network)
    u_NL, y_NC = noise_and_labels(16)
    x = network(u_NL, y_NC, 1.0).detach()
    assert x.std() > 0.1
    assert (x - network(u_NL, y_NC.roll(1, 0), 1.0)).abs().mean() > 0.05
    assert (x - network(u_NL.roll(4, 0), y_NC, 1.0)).abs().mean() > 0.05


def test_training_reaches_all_parameters_through_the_batch_s_statistics() -> None:
    torch.manual_seed(0)
    network = fresh(SIZES)
    torch.nn.init.ones_(network.generator.layers[SIZES.attention].gamma)  # with 0 attention gets no gradient
    normalise_by_batch(network)
    network(*noise_and_labels(8), 1.0).square().mean().backward()
    for name, parameter in network.named_parameters():
        # Most convolutions are followed by a norm, which removes the effect of the bias.
        if not name.endswith(".bias"):
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_in_training_norms_use_the_batch_s_statistics() -> None:
    network, _ = averaged()
    seen: list[torch.Tensor] = []
    hook = network.generator.bn.register_forward_hook(
        lambda norm, inputs, output: seen.append(output.detach())
    )
    network(*noise_and_labels(64), 1.0)
    hook.remove()
    last = network.generator.bn  # its parameters are the mean and deviation of its output
    assert seen[0].mean((0, 2, 3)).sub(last.bias).abs().max() < 1e-3
    assert seen[0].std((0, 2, 3)).div(last.weight).sub(1).abs().max() < 0.01


def test_stored_statistics_give_the_pictures_of_training() -> None:
    network, average = averaged()
    u_NL, y_NC = noise_and_labels(256)
    with torch.no_grad():
        trained = network(u_NL, y_NC, 1.0)
        before = average(u_NL, y_NC, 1.0)
        after = stored()(u_NL, y_NC, 1.0)
    # The average has other weights than the trained network, but similar pictures.
    assert (after - trained).abs().mean() < 0.2
    assert (after - trained).abs().mean() < 0.5 * (before - trained).abs().mean()


@pytest.mark.parametrize("row", [1, 7, 25, 47, 50])
def test_stored_statistics_fit_their_truncation(row: int) -> None:
    ratios: list[float] = []

    def compare(norm: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        means, variances = norm.get_buffer("running_means")[0], norm.get_buffer("running_vars")[0]
        assert (inputs[0].mean((0, 2, 3)) - means).abs().mean() < 0.1 * variances.sqrt().mean()
        ratios.append(float((inputs[0].var((0, 2, 3)) / variances).log().mean().exp()))

    at = BigGAN(SIZES).eval()  # reads the row of this test at truncation 1
    at.load_state_dict(
        {k: t[row].expand_as(t) if ".running_" in k else t for k, t in stored().state_dict().items()}
    )
    for module in at.modules():
        if hasattr(module, "running_vars"):
            module.register_forward_pre_hook(compare)

    u_NL, y_NC = noise_and_labels(512)
    with torch.no_grad():
        at(row / (N_STATS - 1) * u_NL, y_NC, 1.0)
    assert len(ratios) == 4 * 6 + 1
    assert all(0.8 < ratio < 1.25 for ratio in ratios)


def test_the_average_has_spectral_norms_of_1() -> None:
    state = stored().state_dict()
    for name in state:
        if name.endswith(".weight_orig"):
            u, v = (state[f"{name.removesuffix('_orig')}_{k}"] for k in "uv")
            weight = state[name].flatten(1)
            estimate, norm = float(u @ weight @ v), float(torch.linalg.matrix_norm(weight, 2))
            assert estimate == pytest.approx(norm, rel=0.02), name


def result(config: TrainBigganConfig, where: RunContext) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    train_biggan(config, where)
    summary: dict[str, Any] = json.loads((where.run_dir / "biggan.json").read_text())
    return load_file(where.run_dir / "biggan.safetensors"), summary


def test_a_run_writes_weights_that_can_be_served_and_a_summary(tmp_path: Path) -> None:
    weights, summary = result(TINY, context(tmp_path))
    sizes = BigGANSizes.at(32, classes=10, ch=8, z_dim=16)
    u_NL = truncated_noise(3, 16, torch.Generator().manual_seed(0))
    trained = BigGAN(sizes).eval()
    trained.load_state_dict(weights)
    for truncation in (1.0, 0.5, 0.02):
        x = ServedBigGAN(sizes, weights)(truncation * u_NL, torch.eye(10)[:3], truncation)
        assert x.isfinite().all() and x.std() > 0.02
        with torch.no_grad():
            assert (x - trained(truncation * u_NL, torch.eye(10)[:3], truncation)).abs().max() < 1e-4
    assert summary["class_names"] == [str(digit) for digit in range(10)]
    assert summary["data"]["count"] == 100
    assert summary["command"].startswith("python -m trainer train_biggan --ch 8")
    assert any("procedural" in note for note in summary["data"]["notes"])
    assert Image.open(tmp_path / "v1/samples/step-0000005.png").width > 900


def test_a_stopped_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole, _ = result(TINY, context(tmp_path, "whole"))
    first = context(tmp_path, "broken")
    progress = first.reporter.progress

    def stop(step: int, *values: Any) -> None:
        progress(step, *values)
        first.stop.requested = step == 2

    first.reporter.progress = stop  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        train_biggan(TINY, first)
    broken, summary = result(TINY, context(tmp_path, "broken", resume=True))
    assert summary["resumed_at_step"] == 2
    assert all(torch.equal(tensor, broken[name]) for name, tensor in whole.items())


def test_unusable_data_fails_the_run_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"dataset wildlife_mnist: limit: .*7200"):
        train_biggan(TrainBigganConfig(train_images=50_000), context(tmp_path))
