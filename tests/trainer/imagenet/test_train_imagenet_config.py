"""Options of an ImageNet CGN's training: published settings, changes to them, and refused values."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from cgn_api.v1 import trainer_pb2 as pb
from services.errors import ApiError
from services.trainer.specs import job_spec, spec_message
from trainer.imagenet.config import PRESETS, TrainImagenetConfig
from trainer.jobs.record import JobSpec, Resources
from trainer.run.options import FieldError, config_from_dict, read_options

TERMS = ("l1", "perceptual", "binary", "mask", "text", "background")  # λ1 to λ6


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


def test_options_change_the_preset_and_absent_ones_leave_it() -> None:
    assert TrainImagenetConfig(preset="paper").settings == PRESETS["paper"]
    changed = TrainImagenetConfig(preset="paper", weight_text=7.0, lr_shape=0.5, steps=3).settings
    assert changed == replace(PRESETS["paper"], weight_text=7.0, lr_shape=0.5, steps=3)
    assert TrainImagenetConfig(preset="paper", patches_of="x_gt").settings.patches_of == "x_gt"
    random = TrainImagenetConfig(features="random", weight_text=3.0).settings
    assert (random.weight_perceptual, random.weight_text) == (100.0, 3.0)


def test_a_weight_of_0_leaves_its_loss_out() -> None:
    settings = TrainImagenetConfig(preset="paper", weight_text=0.0).settings
    assert settings == replace(PRESETS["paper"], weight_text=0.0)
    assert settings == TrainImagenetConfig(preset="paper", without="text").settings
    shape = TrainImagenetConfig(weight_binary=0, weight_mask=0).settings
    assert shape == TrainImagenetConfig(without="shape").settings


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"preset": "ours"}, 'preset: must be one of "paper", "code", "reproduction"'),
        ({"lr_shape": 0.0}, "lr_shape: must be above 0, at most 1; absent: the preset's, is 0.0"),
        ({"steps": 0}, "steps: must be 1 to 2^32 - 1; absent: the preset's, is 0"),
        ({"patch_size": 0}, "patch_size: must be 2 to 64; absent: 15 at 256 pixels, in proportion"),
        ({"weight_l1": -1.0}, "weight_l1: must be 0 or more; absent: the preset's, is -1.0"),
        ({"weight_l1": "1"}, "weight_l1: must be a number, 0 or more; absent: the preset's, is '1'"),
        (
            {f"weight_{term}": 0.0 for term in TERMS},
            "weight_l1: must be above 0 where the weights",
        ),
        ({"without": "all"}, 'without: must be one of "rec", "shape", "text", "bg"; empty: none'),
        ({"without": "rec", "supervision": "discriminator"}, 'without: must not be "rec"'),
        ({"features": "random", "vgg16_weights": "x"}, 'vgg16_weights: must be empty where features is "ra'),
        ({"mask_lowest": 0.4, "mask_highest": 0.3}, "mask_lowest: must be below mask_highest, 0.3, is 0.4"),
        ({"without": "rec", "refine": True}, "refine: must be false without L_rec"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], error: str) -> None:
    with pytest.raises(FieldError) as caught:
        TrainImagenetConfig(**options)
    assert str(caught.value).startswith(error)


def test_a_request_s_0_is_a_0_and_absent_fields_stay_absent(tmp_path: Path) -> None:
    (tmp_path / "imagenet_biggan" / "v1").mkdir(parents=True)
    request = pb.JobSpec(train_imagenet=pb.TrainImagenetSpec(weight_text=0.0, steps=2))
    spec = job_spec(request, tmp_path)
    answer = spec_message(spec).train_imagenet
    assert (answer.HasField("weight_text"), answer.weight_text, answer.steps) == (True, 0.0, 2)
    assert not answer.HasField("weight_l1") and not answer.HasField("accumulation")
    assert spec_message(job_spec(spec_message(spec), tmp_path)) == spec_message(spec)
    assert read_options(TrainImagenetConfig, spec.config)["weight_text"] == 0.0
    with pytest.raises(ApiError) as caught:
        job_spec(pb.JobSpec(train_imagenet=pb.TrainImagenetSpec(steps=0)), tmp_path)
    field, description = caught.value.violations[0]
    assert field == "spec.train_imagenet.steps"
    assert description == "must be 1 to 2^32 - 1; absent: the preset's, is 0"


def test_a_job_of_an_earlier_release_keeps_its_preset(tmp_path: Path) -> None:
    options = {name: 0 if value is None else value for name, value in asdict(TrainImagenetConfig()).items()}
    record = JobSpec("train_imagenet", options | {"lr_shape": 0.5}, Resources())
    assert not spec_message(record).train_imagenet.HasField("weight_text")
    read = config_from_dict(TrainImagenetConfig, read_options(TrainImagenetConfig, record.config))
    assert read == TrainImagenetConfig(lr_shape=0.5)


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
