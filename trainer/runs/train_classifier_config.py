"""Options of the run that trains a digit classifier."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from trainer.runs.config import (
    DATASETS,
    HIGHEST_COUNT,
    HIGHEST_SEED,
    FieldError,
    check_options,
    option,
)

TRAIN_ON = ("original", "counterfactual", "original+counterfactual")


@dataclass(frozen=True)
class TrainClassifierConfig:
    """Options of `train_classifier`; the fields are those of the API's TrainClassifierSpec.

    Raises FieldError.
    """

    dataset: str = option("colored_mnist", "data set", choices=DATASETS)
    model_name: str = option(
        "",
        "CGN that makes the counterfactuals",
        pattern=NAME,
        pattern_help=NAME_HELP,
        empty='none, with train_on "original" alone',
    )
    model_version: str = option(
        "", "version of that CGN", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    train_on: str = option("counterfactual", "training images", choices=TRAIN_ON)
    counterfactuals: int = option(50_000, "counterfactual images drawn", low=100, high=HIGHEST_COUNT)
    epochs: int = option(10, "passes over the training images", low=1, high=HIGHEST_COUNT)
    batch_size: int = option(64, "images per step", low=1, high=4096)
    learning_rate: float = option(1.0, "Adadelta's learning rate", above=0, high=10)
    seed: int = option(0, "seed of initialisation, data order and counterfactuals", low=0, high=HIGHEST_SEED)

    def __post_init__(self) -> None:
        check_options(self)
        if self.train_on != "original" and not self.model_name:
            raise FieldError("model_name", f'must name a CGN, as train_on is "{self.train_on}"')
