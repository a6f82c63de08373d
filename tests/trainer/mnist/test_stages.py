"""The segmenter stage and the shape stage, and how the stages share the steps."""

import copy
import json
from pathlib import Path

import pytest
import torch

from cgn.data import ImageSet, make_variant, training_images
from cgn.families.mnist import network as mnist
from cgn.families.mnist.family import FAMILY, build
from cgn.store import checkpoint
from common.settings import REPO
from trainer.gan.game import update_average
from trainer.mnist.config import TrainCgnConfig
from trainer.mnist.segmenter_stage import SegmenterStage
from trainer.mnist.shape_stage import ShapeStage
from trainer.mnist.stage import rate_factor
from trainer.mnist.train import begin_attempt, stage_steps, work_of
from trainer.run.report import Reporter


@pytest.fixture(autouse=True)
def bundled_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CGN_DATA_DIR", raising=False)
    torch.set_num_threads(1)


def test_a_segmenter_trained_on_composites_finds_the_masks_of_real_images() -> None:
    limit = 600
    data = training_images("double_colored_mnist", "train", limit=limit)
    average, _ = checkpoint.load_trained_of(FAMILY, REPO / "models", "double_colored_mnist")
    average.eval().requires_grad_(False)
    stage = SegmenterStage(data, average, 32, torch.Generator().manual_seed(0), steps=150)
    for done in range(150):
        stage.step(done)
    predicted = stage.masks()[:, 0]
    true = make_variant("double_colored_mnist", "train", limit=limit).masks
    assert predicted.shape == true.shape
    overlap = (predicted & true).sum((1, 2)) / (predicted | true).sum((1, 2))
    assert float(overlap.median()) > 0.85


def test_the_shape_mechanism_learns_from_real_masks() -> None:
    torch.manual_seed(0)
    away = torch.arange(32) - 15.5
    distance = (away[:, None].square() + away.square()).sqrt()
    radius = torch.tensor([4.0, 11.0])  # of class 0, of class 1
    labels = torch.arange(200) % 2
    masks = (distance < radius[labels][:, None, None])[:, None]
    data = ImageSet(torch.zeros(200, 3, 32, 32), labels, ["small", "large"], 32, {})
    network = build({"width": 8}, 2, 32)
    average = copy.deepcopy(network).eval()
    before = {name: value.clone() for name, value in network.texture.state_dict().items()}
    config = TrainCgnConfig(batch_size=16)
    random = torch.Generator().manual_seed(0)
    stage = ShapeStage(config, data, lambda: masks, network, average, random, steps=250)
    for done in range(250):
        result = stage.step(done)
    assert result.masks.shape == (32, 1, 32, 32)
    assert all(torch.equal(value, before[name]) for name, value in network.texture.state_dict().items())
    y_NC = mnist.one_hot(torch.tensor([0, 1]).repeat(20), 2)
    with torch.no_grad():
        drawn = average.shape(torch.randn(40, mnist.LATENT), y_NC)
    small, large = float(drawn[::2].mean()), float(drawn[1::2].mean())
    assert large == pytest.approx(float(masks[1].float().mean()), abs=0.08)
    assert small < large / 2


def test_the_average_is_a_mean_at_first_and_follows_slowly_later() -> None:
    network = torch.nn.BatchNorm1d(1)
    average = copy.deepcopy(network)
    for done, value in enumerate((2.0, 4.0), start=1):
        torch.nn.init.constant_(network.weight, value)
        network.running_mean = torch.tensor([value])
        network.num_batches_tracked = torch.tensor(done)
        update_average(average, network, done)
    state = average.state_dict()
    assert (state["weight"].item(), state["running_mean"].item()) == (3.0, 3.0)
    assert state["num_batches_tracked"].item() == 2
    torch.nn.init.constant_(network.weight, 103.0)
    update_average(average, network, 1_000_000)
    assert average.weight.item() == pytest.approx(3.5)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 1000, 14_000])
def test_stages_share_all_steps_and_the_first_has_some(steps: int) -> None:
    shares = stage_steps(steps)
    assert sum(shares) == steps
    assert shares[0] >= 1 and min(shares) >= 0


def test_learning_rates_fall_towards_0_and_never_reach_it() -> None:
    rates = [rate_factor(done, 10) for done in range(10)]
    assert rates[0] == rates[6] == 1
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.5


def test_the_time_left_counts_the_stages_that_are_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = training_images("wildlife_mnist", "train", limit=100)
    stages = begin_attempt(TrainCgnConfig(steps=40), data, torch.device("cpu"), 0).stages
    joint, segmenter, shape = stages
    work = work_of(stages, 40)
    assert work == sum(stage.steps * stage.step_work for stage in stages) < 40 * joint.step_work
    assert work_of(stages, joint.steps) == joint.steps * joint.step_work
    for done, stage in ((1, joint), (joint.steps + 1, segmenter), (39, shape)):
        reporter = Reporter(tmp_path, tmp_path, jsonl=True)
        reporter.begin(done - 1, 40, lambda steps: work_of(stages, steps))
        reporter.progress(done, {})
        progress = json.loads(capsys.readouterr().out)
        left = (work - work_of(stages, done)) / stage.step_work  # in steps of the current stage
        assert progress["eta_seconds"] == pytest.approx(progress["step_seconds"] * left)
