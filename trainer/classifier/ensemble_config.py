"""Options of the run that trains several classifiers."""

from dataclasses import dataclass

from trainer.classifier.config import TrainClassifierConfig
from trainer.run.kind import GIVEN_MODEL, Kind
from trainer.run.options import HIGHEST_SEED, FieldError, option


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


TRAIN_ENSEMBLE = Kind(
    "train_ensemble",
    TrainEnsembleConfig,
    run="trainer.classifier.ensemble:train_ensemble",
    description="Trains several classifiers that differ by their seeds, and scores them together.",
    uses_model=GIVEN_MODEL,
)
