"""The kinds of job: what configures each and which module runs it. The one table to add a kind to."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.runs.config import Dataclass
from trainer.runs.evaluate_classifier_config import EvaluateClassifierConfig
from trainer.runs.find_failures_config import FindFailuresConfig
from trainer.runs.generate_dataset_config import GenerateDatasetConfig
from trainer.runs.import_weights_config import ImportWeightsConfig
from trainer.runs.reproduce_cell_config import ReproduceCellConfig
from trainer.runs.start_imagenet_config import StartImagenetConfig
from trainer.runs.train_biggan_config import TrainBigganConfig
from trainer.runs.train_cgn_config import TrainCgnConfig
from trainer.runs.train_classifier_config import TrainClassifierConfig
from trainer.runs.train_ensemble_config import TrainEnsembleConfig
from trainer.runs.train_imagenet_config import TrainImagenetConfig
from trainer.runs.train_saliency_config import TrainSaliencyConfig


@dataclass(frozen=True)
class Kind:
    """A kind of job."""

    config: type[Dataclass]  # its options
    publishes: bool = False  # a version job-<id> of the model that its model_name names
    uses_model: tuple[str, str] = ("", "")  # its options that name a published model, and the version
    family: str = ""  # that the model must be of; empty: any


_GIVEN_MODEL = ("model_name", "model_version")
# Each is run as `python -m trainer.runs.<kind>`, which speaks the protocol of trainer.runs.reporting.
KINDS: Mapping[str, Kind] = {
    "train_cgn": Kind(TrainCgnConfig, publishes=True),
    "train_classifier": Kind(TrainClassifierConfig, uses_model=_GIVEN_MODEL),
    "reproduce_cell": Kind(ReproduceCellConfig, uses_model=_GIVEN_MODEL),
    "train_imagenet": Kind(
        TrainImagenetConfig, publishes=True, uses_model=("start_model", "start_version"), family="imagenet"
    ),
    "train_ensemble": Kind(TrainEnsembleConfig, uses_model=_GIVEN_MODEL),
    "evaluate_classifier": Kind(EvaluateClassifierConfig, uses_model=_GIVEN_MODEL),
    "generate_dataset": Kind(GenerateDatasetConfig, uses_model=_GIVEN_MODEL),
    "import_weights": Kind(ImportWeightsConfig, publishes=True),
    "train_biggan": Kind(TrainBigganConfig),
    "train_saliency": Kind(TrainSaliencyConfig),
    "start_imagenet": Kind(StartImagenetConfig, publishes=True),
    "find_failures": Kind(FindFailuresConfig, uses_model=_GIVEN_MODEL),
}
MODULES: Mapping[str, str] = {kind: f"trainer.runs.{kind}" for kind in KINDS}
