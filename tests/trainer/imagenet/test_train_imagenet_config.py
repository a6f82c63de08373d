"""Options of an ImageNet CGN's training: the published numbers, what changes them, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cgn_api.v1 import trainer_pb2 as pb
from services.errors import ApiError
from services.trainer.specs import job_spec
from trainer.imagenet.config import PRESETS, TrainImagenetConfig
from trainer.run.options import FieldError


def test_presets_carry_the_published_numbers() -> None:
    paper, code, reproduction = (PRESETS[name] for name in ("paper", "code", "reproduction"))
    for preset in (paper, code, reproduction):  # appendix C.3: λ1, λ3, λ4, λ6
        lambdas = preset.weight_l1, preset.weight_binary, preset.weight_mask, preset.weight_background
        assert lambdas == (100, 300, 500, 2000)
    assert (paper.lr_shape, paper.lr_texture, paper.lr_background) == (8e-6, 1e-5, 1e-5)
    assert (code.lr_shape, code.lr_texture, code.lr_background) == (8e-6, 3e-5, 1e-5)
    assert (code.weight_perceptual, code.weight_text) == (8e4, 1.25e5)
    assert (code.perceptual_blocks, code.text_blocks) == ((1, 1, 1, 1), (0, 1, 1, 0))
    assert (paper.features, code.features) == ("vgg16_bn", "vgg16")
    assert (paper.patches_of, code.patches_of) == ("composite", "x_gt")
    assert paper.mask_of_batch and not code.mask_of_batch
    assert [(p.batch_size, p.accumulation) for p in (paper, code)] == [(1, 4000)] * 2
    seen = reproduction.batch_size * reproduction.accumulation * reproduction.steps
    assert (reproduction.batch_size, seen) == (5, 500_000)
    assert replace(reproduction, batch_size=1, accumulation=4000, steps=300) == code


def test_options_change_the_preset_and_0_leaves_it() -> None:
    assert TrainImagenetConfig(preset="paper").settings == PRESETS["paper"]
    changed = TrainImagenetConfig(preset="paper", weight_text=7.0, lr_shape=0.5, steps=3).settings
    assert changed == replace(PRESETS["paper"], weight_text=7.0, lr_shape=0.5, steps=3)
    assert TrainImagenetConfig(preset="paper", patches_of="x_gt").settings.patches_of == "x_gt"
    random = TrainImagenetConfig(features="random", weight_text=3.0).settings
    assert (random.weight_perceptual, random.weight_text) == (100.0, 3.0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"preset": "ours"}, 'preset: must be one of "paper", "code", "reproduction"'),
        ({"lr_shape": -1.0}, "lr_shape: must be above 0, at most 1; 0: the preset's"),
        ({"without": "all"}, 'without: must be one of "rec", "shape", "text", "bg"; empty: none'),
        ({"without": "rec", "supervision": "discriminator"}, 'without: must not be "rec"'),
        ({"features": "random", "vgg16_weights": "x"}, 'vgg16_weights: must be empty where features is "ra'),
        ({"mask_lowest": 0.4, "mask_highest": 0.3}, "mask_lowest: must be below mask_highest, 0.3, is 0.4"),
        ({"without": "rec", "refine": True}, "refine: must be false without L_rec"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError) as caught:
        TrainImagenetConfig(**options)
    assert str(caught.value).startswith(says)


def test_a_job_s_start_model_has_to_be_published(tmp_path: Path) -> None:
    (tmp_path / "start" / "v1").mkdir(parents=True)

    def violations(**fields: Any) -> list[str]:
        try:
            job_spec(pb.JobSpec(train_imagenet=pb.TrainImagenetSpec(**fields)), tmp_path)
        except ApiError as error:
            return [field for field, _ in error.violations]
        return []

    assert violations(start_model="start") == violations(start_model="start", start_version="v1") == []
    assert violations(start_model="nowhere") == ["spec.train_imagenet.start_model"]
    assert violations(start_model="start", start_version="v9") == ["spec.train_imagenet.start_version"]
