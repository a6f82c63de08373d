"""Failures of mechanisms are measured as planted, and the report ranks the classes that have them first."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cgn.errors import CgnInputError
from cgn.metrics.failures import entanglement, realism_loss, residue
from testing.random_model import ANIMALS, publish_random, publish_random_imagenet
from tests.trainer.mnist.test_runs import context
from trainer.classifier.config import FindFailuresConfig
from trainer.classifier.find_failures import FAILURES, find_failures, rank
from trainer.run.context import Stopped


def pictures(side: int = 32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A bright, noisy foreground, a dark, noisy background, and a square mask: one each."""
    random = torch.Generator().manual_seed(0)
    f = 0.5 + 0.2 * torch.randn(1, 3, side, side, generator=random)
    b = -0.5 + 0.2 * torch.randn(1, 3, side, side, generator=random)
    m = torch.zeros(1, 1, side, side)
    m[..., side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 1
    return f, b, m


@pytest.mark.parametrize("side", [32, 256])
def test_separate_mechanisms_have_no_failure_and_planted_ones_are_found(side: int) -> None:
    f, b, m = pictures(side)
    assert entanglement(f, b, m) == residue(b, f, m) == 0
    assert entanglement(m * f + (1 - m) * b, b, m) > 0.7  # patches at the edge are of both
    assert residue(m * f + (1 - m) * b, f, m) > 0.7
    left = torch.ones_like(m)
    left[..., : side // 2] = 0
    half = left * f + (1 - left) * b
    assert 0.3 < entanglement(half, b, m) < 0.7
    assert 0.3 < residue(half, f, m) < 0.7


def test_what_a_mask_leaves_nothing_to_compare_for_is_no_number() -> None:
    f, b, m = pictures()
    for empty in (torch.zeros_like(m), torch.ones_like(m)):
        assert entanglement(f, b, empty).isnan().all()
        assert residue(b, f, empty).isnan().all()


def test_realism_is_the_distance_from_the_cgans_picture() -> None:
    f, b, _ = pictures()
    assert realism_loss(f, f) == 0
    assert realism_loss(f, b) == pytest.approx(float((f - b).abs().mean()))


def test_a_class_that_does_worse_in_more_measures_comes_first() -> None:
    sound: dict[str, float | None] = dict.fromkeys(("mean", *FAILURES), 0.1)
    measured = {
        0: sound,
        1: sound | {"residue": 0.5, "soft": 0.9},
        2: sound | {"residue": 0.4, "entanglement": None},
    }
    ranked = rank(measured)
    assert [label for label, _ in ranked] == [1, 2, 0]
    assert all(0 <= badness <= 1 for _, badness in ranked)


def test_every_measure_of_an_imagenet_model_is_in_the_report(tmp_path: Path) -> None:
    where = context(tmp_path)
    publish_random_imagenet(where.models_dir, "mine")
    find_failures(FindFailuresConfig(model_name="mine", causes=2, shown=1, truncation=0.5), where)
    result = json.loads((where.run_dir / "failures.json").read_text())
    assert {entry["class"] for entry in result["classes"]} == set(ANIMALS)
    badness = [entry["badness"] for entry in result["classes"]]
    assert badness == sorted(badness, reverse=True)
    for entry in result["classes"]:
        assert entry["saliency"] > 0 and entry["realism"] > 0 and 0 < entry["mean"] < 1
    page = (where.run_dir / "failures.html").read_text()
    worst, best = result["classes"][0], result["classes"][-1]
    for entry in (worst, best):
        assert f'src="pictures/{entry["label"]}.png"' in page
        assert (where.run_dir / "pictures" / f"{entry['label']}.png").is_file()
    assert page.index(f"<td>{worst['class']}</td>") < page.index(f"<td>{best['class']}</td>")


def test_a_stopped_run_goes_on_with_the_classes_that_are_left(tmp_path: Path) -> None:
    config = FindFailuresConfig(model_name="mine", classes="zero; 3; ni", causes=2, shown=3)
    where = context(tmp_path)
    publish_random(where.models_dir, "mine")
    where.stop.requested = True
    with pytest.raises(Stopped):
        find_failures(config, where)
    lines = (where.run_dir / "measured.jsonl").read_text()
    assert len(lines.splitlines()) == 1
    where.stop.requested = False
    find_failures(config, replace(where, resume=True))
    assert (where.run_dir / "measured.jsonl").read_text().startswith(lines)
    result = json.loads((where.run_dir / "failures.json").read_text())
    assert {entry["class"] for entry in result["classes"]} == {"zero", "three", "nine"}
    assert {entry["realism"] for entry in result["classes"]} == {None}


def test_truncation_is_refused_where_a_family_has_none(tmp_path: Path) -> None:
    where = context(tmp_path)
    publish_random(where.models_dir, "mine")
    with pytest.raises(CgnInputError, match="truncation"):
        find_failures(FindFailuresConfig(model_name="mine", causes=2, truncation=0.5), where)
