"""The kinds of job: what configures each and which module runs it. The one table to add a kind to."""

from collections.abc import Mapping
from dataclasses import dataclass

from trainer.runs.config import Dataclass
from trainer.runs.reproduce_cell_config import ReproduceCellConfig
from trainer.runs.train_cgn_config import TrainCgnConfig
from trainer.runs.train_classifier_config import TrainClassifierConfig


@dataclass(frozen=True)
class Kind:
    """A kind of job."""

    config: type[Dataclass]  # its options
    module: str  # run as `python -m <module>`; speaks the protocol of trainer.runs.reporting


KINDS: Mapping[str, Kind] = {
    "train_cgn": Kind(TrainCgnConfig, "trainer.runs.train_cgn"),
    "train_classifier": Kind(TrainClassifierConfig, "trainer.runs.train_classifier"),
    "reproduce_cell": Kind(ReproduceCellConfig, "trainer.runs.reproduce_cell"),
}
