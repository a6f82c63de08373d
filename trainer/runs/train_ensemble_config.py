"""Options of the run that trains several classifiers."""

from dataclasses import dataclass

from trainer.runs.config import HIGHEST_SEED, FieldError, option
from trainer.runs.train_classifier_config import TrainClassifierConfig


@dataclass(frozen=True)
class TrainEnsembleConfig(TrainClassifierConfig):
    """Options of `train_ensemble`: those of a classifier, and how many; the API's TrainEnsembleSpec.

    Raises FieldError.
    """

    members: int = option(5, "classifiers, whose seeds follow on from seed", low=2, high=32)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed > HIGHEST_SEED - self.members:
            raise FieldError("seed", f"must be {self.members} below 2^63 at least, is {self.seed}")
