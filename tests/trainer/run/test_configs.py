"""The options of runs: defaults, ranges, command line, and the equal fields of the API."""

import argparse
import dataclasses
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import grpc
import pytest

from cgn_api.v1 import trainer_pb2 as pb
from cgn_client.jobs import JobKind
from common.settings import REPO
from services.errors import ApiError
from services.trainer.specs import job_spec, spec_message
from trainer.classifier.config import EvaluateClassifierConfig, TrainClassifierConfig, TrainEnsembleConfig
from trainer.datasets.config import GenerateDatasetConfig
from trainer.imagenet.config import TrainImagenetConfig
from trainer.imagenet.start_config import ImportWeightsConfig
from trainer.jobs.record import Resources
from trainer.kinds import KINDS
from trainer.mnist.config import TrainCgnConfig
from trainer.reproduce.table2.config import ReproduceCellConfig
from trainer.run.checkpoints import config_fingerprint
from trainer.run.options import (
    FieldError,
    add_arguments,
    command_line_options,
    config_from_dict,
    read_options,
    recorded_options,
    stored_options,
)

CLASSIFIER = {"model_name": "colored_mnist"}
BOTH = {"train_on": "original+counterfactual"}
ORACLE = {"train_on": "intervention"}


def names(cls: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


@pytest.mark.parametrize("kind", KINDS)
def test_config_and_proto_spec_have_the_same_fields(kind: str) -> None:
    message = pb.JobSpec.DESCRIPTOR.fields_by_name[kind].message_type
    assert message is not None
    assert [field.name for field in message.fields] == names(KINDS[kind].config)
    assert all(field.has_presence for field in message.fields)


def test_jobs_are_checked_without_numpy_and_torch() -> None:
    # The trainer's image has neither.
    code = "import sys, trainer.kinds; print([m for m in ('numpy', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_kinds_and_resources_are_those_of_the_proto() -> None:
    oneof = pb.JobSpec.DESCRIPTOR.oneofs_by_name["kind"]
    assert [field.name for field in oneof.fields] == list(KINDS)
    assert [field.name for field in pb.Resources.DESCRIPTOR.fields] == names(Resources)
    assert list(get_args(JobKind)) == list(KINDS)  # what the client offers


def test_every_kind_has_a_run_of_its_name() -> None:
    for kind in KINDS:
        assert callable(KINDS[kind].load())
        assert all(name in ("", *names(KINDS[kind].config)) for name in KINDS[kind].uses_model)
        assert not KINDS[kind].publishes or "model_name" in names(KINDS[kind].config)


@pytest.mark.parametrize(
    ("cls", "values", "field", "message"),
    [
        (TrainCgnConfig, {"steps": 0}, "steps", "1 to 2^32 - 1, is 0"),
        (TrainCgnConfig, {"steps": "9"}, "steps", "an integer, 1 to 2^32 - 1, is '9'"),
        (TrainCgnConfig, {"steps": True}, "steps", "an integer"),
        (TrainCgnConfig, {"batch_size": 1025}, "batch_size", "1 to 1024"),
        (TrainCgnConfig, {"seed": 2**63}, "seed", "0 to 2^63 - 1"),
        (TrainCgnConfig, {"lr_generator": 0.0}, "lr_generator", "above 0, at most 1"),
        (TrainCgnConfig, {"lr_discriminator": 1.5}, "lr_discriminator", "above 0, at most 1"),
        (TrainCgnConfig, {"weight_mask": -0.1}, "weight_mask", "0 or more"),
        (TrainCgnConfig, {"weight_style": math.nan}, "weight_style", "0 or more"),
        (TrainCgnConfig, {"weight_binary": math.inf}, "weight_binary", "0 or more"),
        (TrainCgnConfig, {"train_images": 99}, "train_images", "100 to 2^32 - 1; 0: all of the split"),
        (TrainCgnConfig, {"dataset": "mnist"}, "dataset", '"wildlife_mnist"'),
        (TrainCgnConfig, {"model_name": "../etc"}, "model_name", "a lowercase letter"),
        (TrainCgnConfig, {"model_name": "a\n"}, "model_name", "a lowercase letter"),
        (TrainCgnConfig, {"model_name": ""}, "model_name", "a lowercase letter"),
        (TrainCgnConfig, {"dataset": "folder"}, "folder", "must be the path of your images"),
        (TrainCgnConfig, {"folder": "/x"}, "folder", 'must be empty unless dataset is "folder"'),
        (
            TrainCgnConfig,
            {"dataset": "folder", "folder": "x", "resolution": 48},
            "resolution",
            "32, 64, is 48",
        ),
        (TrainCgnConfig, {"resolution": 64}, "resolution", 'must be 32 unless dataset is "folder"'),
        (TrainCgnConfig, {"mask_lowest": 0.4}, "mask_lowest", "must be below mask_highest, 0.35, is 0.4"),
        (TrainCgnConfig, {"mask_highest": 0.7}, "mask_highest", "above 0, at most 0.6"),
        (TrainCgnConfig, {"style": "vgg"}, "style", 'one of "random", "vgg16"'),
        (TrainCgnConfig, {"vgg16_weights": "x.pth"}, "vgg16_weights", 'unless style is "vgg16"'),
        (TrainCgnConfig, {"restarts": 11}, "restarts", "0 to 10, is 11"),
        (TrainCgnConfig, {"publish_collapsed": 1}, "publish_collapsed", "true or false, is 1"),
        (TrainCgnConfig, {"stepz": 3}, "stepz", "unknown field"),
        (TrainClassifierConfig, {}, "model_name", 'train_on is "counterfactual"'),
        (TrainClassifierConfig, CLASSIFIER | {"model_version": ".."}, "model_version", "the newest"),
        (TrainClassifierConfig, CLASSIFIER | {"learning_rate": 11}, "learning_rate", "at most 10"),
        (TrainClassifierConfig, CLASSIFIER | {"images_seen": 0}, "images_seen", "1 to 2^32 - 1, is 0"),
        (TrainClassifierConfig, CLASSIFIER | {"cf_ratio": 0}, "cf_ratio", "1 to 1000000, is 0"),
        (TrainClassifierConfig, CLASSIFIER | {"vary": "shape"}, "vary", '"texture+background"'),
        (TrainClassifierConfig, CLASSIFIER | {"labels": "all"}, "labels", '"permuted"'),
        (TrainClassifierConfig, CLASSIFIER | {"bank_masks": -1}, "bank_masks", "0: fresh ones"),
        (TrainClassifierConfig, CLASSIFIER | BOTH | {"batch_size": 63}, "batch_size", "must be even"),
        (TrainClassifierConfig, BOTH, "model_name", "must name a CGN"),
        (TrainClassifierConfig, ORACLE | {"dataset": "folder", "folder": "x"}, "train_on", "must not be"),
        (TrainClassifierConfig, ORACLE | {"dataset": "folder"}, "folder", "must be the path"),
        (TrainClassifierConfig, ORACLE | {"folder": "x"}, "folder", "must be empty"),
        (TrainClassifierConfig, ORACLE | {"resolution": 64}, "resolution", "must be 32"),
        (TrainEnsembleConfig, BOTH | CLASSIFIER | {"members": 1}, "members", "2 to 32, is 1"),
        (TrainEnsembleConfig, {"members": 2}, "model_name", 'train_on is "counterfactual"'),
        (TrainEnsembleConfig, CLASSIFIER | {"seed": 2**63 - 2}, "seed", "at least 5 below 2^63"),
        (GenerateDatasetConfig, {}, "model_name", "must name a CGN to generate the images"),
        (GenerateDatasetConfig, CLASSIFIER | {"format": "zip"}, "format", '"webdataset"'),
        (GenerateDatasetConfig, CLASSIFIER | {"shard_images": 0}, "shard_images", "1 to 100000"),
        (EvaluateClassifierConfig, {"classifier": ""}, "classifier", "a path"),
        (EvaluateClassifierConfig, {"dataset": "folder"}, "folder", "must be the path"),
        (ImportWeightsConfig, {}, "file", "must be the path of the weights"),
        (
            ImportWeightsConfig,
            {"file": "x", "weights": "biggan"},
            "u2net",
            'be given, as weights is "biggan"',
        ),
        (ImportWeightsConfig, {"file": "x", "u2net": "y"}, "u2net", 'be empty, as weights is "cgn"'),
        (ImportWeightsConfig, {"file": "x", "weights": "mnist"}, "dataset", "must be given"),
        (Resources, {"cpu_threads": 257}, "cpu_threads", "1 to 256"),
        (Resources, {"gpus": 9}, "gpus", "0 to 8"),
    ],
)
def test_bad_values_are_refused_with_the_allowed_range(
    cls: Any, values: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(FieldError, match=re.escape(message)) as caught:
        config_from_dict(cls, values)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


def test_limits_themselves_are_allowed() -> None:
    TrainCgnConfig(steps=1, batch_size=1024, seed=2**63 - 1, lr_generator=1, weight_mask=0, train_images=100)
    TrainClassifierConfig(train_on="original", learning_rate=10)


def test_command_line_takes_every_field_and_tells_its_range_and_default() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, TrainCgnConfig)
    names = [field.name for field in dataclasses.fields(TrainCgnConfig)]
    assert command_line_options(names, parser.parse_args([])) == {}
    arguments = parser.parse_args(["--steps", "7", "--lr-generator", "0.5", "--model-name", "x"])
    assert command_line_options(names, arguments) == {"model_name": "x", "steps": 7, "lr_generator": 0.5}
    text = " ".join(parser.format_help().split())
    default = f"{TrainCgnConfig().lr_generator:g}"
    assert f"learning rate of the mechanisms: above 0, at most 1 (default: {default})" in text


def spec(**fields: Any) -> pb.JobSpec:
    return pb.JobSpec(train_cgn=pb.TrainCgnSpec(**fields))


def test_absent_fields_take_the_defaults_and_given_zeros_do_not(tmp_path: Path) -> None:
    filled = spec_message(job_spec(spec(seed=0, weight_mask=0.0, steps=5), tmp_path))
    expected = stored_options(TrainCgnConfig(seed=0, weight_mask=0.0, steps=5))
    assert "sample_every" not in expected  # chosen by the run
    assert {field.name: value for field, value in filled.train_cgn.ListFields()} == expected
    assert (filled.resources.cpu_threads, filled.resources.gpus, filled.priority) == (2, 0, 0)
    assert spec_message(job_spec(filled, tmp_path)) == filled


ABSENT = {"steps": None, "images_seen": None}  # the recipe's


@pytest.mark.parametrize(
    ("stored", "options"),
    [
        ({"seed": 3}, {"seed": 3}),
        ({"seed": 3, "steps": 7}, {"seed": 3, "steps": 7}),
        ({"steps": 0, "images_seen": 0, "seed": 0}, ABSENT | {"seed": 0}),  # an earlier release's
        ({"steps": 7, "images_seen": 0}, {"steps": 7, "images_seen": None}),
        ({"steps": 0}, {"steps": 0}),  # a user's file: a 0 is a 0
        ({"steps": 0, "images_seen": None}, {"steps": 0, "images_seen": None}),
        ({"steps": 0, "images_seen": 7, "zeros": ["steps"]}, {"steps": 0, "images_seen": 7}),
    ],
)
def test_0_in_a_file_of_an_earlier_release_means_absent(
    stored: dict[str, Any], options: dict[str, Any]
) -> None:
    assert read_options(ReproduceCellConfig, stored) == options


def test_stored_options_are_read_back_and_hashed_as_in_earlier_releases() -> None:
    config = TrainImagenetConfig(weight_text=0.0, steps=3)
    stored = json.loads(json.dumps(stored_options(config)))
    assert (stored["weight_text"], stored["zeros"]) == (0.0, ["weight_text"])
    assert "weight_l1" not in stored
    assert config_from_dict(TrainImagenetConfig, read_options(TrainImagenetConfig, stored)) == config
    plain = TrainImagenetConfig(steps=3)
    recorded = recorded_options(plain)
    assert (recorded["weight_text"], recorded["lr_shape"], recorded["accumulation"]) == (0.0, 0.0, 0)
    assert recorded.keys() == dataclasses.asdict(plain).keys()
    assert config_fingerprint(plain) != config_fingerprint(config)
    # As the release before absent options had it, for the same run.
    assert config_fingerprint(plain) == "7d203ebbd437f64ee5afaab8fcc2d75e"


def test_all_violations_of_a_spec_are_told_at_once(tmp_path: Path) -> None:
    bad = spec(steps=0)
    bad.resources.gpus = 9
    bad.priority = 101
    with pytest.raises(ApiError) as caught:
        job_spec(bad, tmp_path)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    fields = [field for field, _ in caught.value.violations]
    assert fields == ["spec.train_cgn.steps", "spec.resources.gpus", "spec.priority"]


def test_the_model_of_a_classifier_has_to_be_published_inside_the_models_directory(tmp_path: Path) -> None:
    models, outside = tmp_path / "models", tmp_path / "outside"
    (models / "real" / "v1").mkdir(parents=True)
    (outside / "v1").mkdir(parents=True)
    (models / "linked").symlink_to(outside)

    def violation(name: str, version: str = "") -> str | None:
        spec_of_classifier = pb.TrainClassifierSpec(model_name=name, model_version=version)
        try:
            job_spec(pb.JobSpec(train_classifier=spec_of_classifier), models)
        except ApiError as error:
            return error.violations[0][0]
        return None

    assert violation("real") is None
    assert violation("real", "v1") is None
    assert violation("real", "v2") == "spec.train_classifier.model_version"
    assert violation("missing") == "spec.train_classifier.model_name"
    assert violation("linked") == "spec.train_classifier.model_name"
    assert violation("../outside") == "spec.train_classifier.model_name"


def run_count(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.runs.count", *arguments]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60, check=False)


def test_a_run_tells_by_its_exit_code_and_last_line_how_it_ended(tmp_path: Path) -> None:
    where = ["--run-dir", str(tmp_path / "run"), "--models-dir", str(tmp_path / "models")]
    quick = ["--lr-generator", "0.001", "--steps", "3"]
    good = run_count(*where, *quick, "--version", "v1")
    assert good.returncode == 0, good.stderr
    assert (tmp_path / "models" / "my_cgn" / "v1" / "card.json").exists()
    failed = run_count(*where, *quick, "--model-name", "fail")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == "error: the digits are gone; bring them back"
    assert "Traceback" not in failed.stderr
    bad = run_count(*where, "--steps", "0")
    assert (bad.returncode, bad.stderr) == (2, "error: steps: must be 1 to 2^32 - 1, is 0\n")
    config = tmp_path / "config.json"
    config.write_text('{"steps": 3, "colour": 1}')
    unknown = run_count(*where, "--config", str(config))
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("error: colour: unknown field")
