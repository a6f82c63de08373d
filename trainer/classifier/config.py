"""Options of the run that trains a classifier."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from cgn.datasets import DATASETS, FOLDER, RESOLUTIONS
from cgn.sampling.policy import HIGHEST_RATIO, LABELS, MOST_ROWS, VARY, Policy
from trainer.run.kind import GIVEN_MODEL, Kind
from trainer.run.options import (
    HIGHEST_COUNT,
    HIGHEST_SEED,
    FieldError,
    check_data_options,
    check_options,
    option,
)

ORIGINAL, COUNTERFACTUAL, BOTH, INTERVENTION = TRAIN_ON = (
    "original",
    "counterfactual",
    "original+counterfactual",
    "intervention",
)


@dataclass(frozen=True)
class TrainClassifierConfig:
    """Options of `train_classifier`; the fields are those of the API's TrainClassifierSpec.

    Training images are the originals; counterfactuals of a CGN; one of the former to one of the latter in
    every batch; or interventions, the true ones, which only a variant of MNIST has: its digits in colours or
    textures drawn at random, anew for each pass. Raises FieldError.
    """

    dataset: str = option("colored_mnist", "data set", choices=DATASETS)
    folder: str = option(
        "", "path of the images, a folder per class", empty='none, unless dataset is "folder"'
    )
    resolution: int = option(32, "pixels a side of a folder's images", choices=RESOLUTIONS)
    model_name: str = option(
        "",
        "CGN that makes the counterfactuals",
        pattern=NAME,
        pattern_help=NAME_HELP,
        empty="none, where train_on needs no counterfactuals",
    )
    model_version: str = option(
        "", "version of that CGN", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    train_on: str = option(COUNTERFACTUAL, "training images", choices=TRAIN_ON)
    images_seen: int = option(600_000, "images trained on, each showing counts", low=1, high=HIGHEST_COUNT)
    counterfactuals: int = option(
        0,
        "different counterfactuals, drawn once and shown again",
        low=1,
        high=HIGHEST_COUNT,
        zero="without end",
    )
    bank_masks: int = option(50_000, "masks to recombine", low=1, high=MOST_ROWS, zero="fresh ones")
    bank_textures: int = option(20_000, "textures to recombine", low=1, high=MOST_ROWS, zero="fresh ones")
    bank_backgrounds: int = option(
        20_000, "backgrounds to recombine", low=1, high=MOST_ROWS, zero="fresh ones"
    )
    cf_ratio: int = option(1, "counterfactuals in a row that share a shape", low=1, high=HIGHEST_RATIO)
    vary: str = option(VARY[0], "mechanisms with a label and noise of their own", choices=VARY)
    labels: str = option(LABELS[0], "labels of the mechanisms that vary", choices=LABELS)
    jitter: bool = option(True, "change shape and colours of every counterfactual a little at random")
    batch_size: int = option(32, "images per step", low=1, high=4096)
    learning_rate: float = option(1.0, "Adadelta's learning rate, which falls to 0", above=0, high=10)
    seed: int = option(0, "seed of initialisation, data order and counterfactuals", low=0, high=HIGHEST_SEED)

    def __post_init__(self) -> None:
        check_options(self)
        check_data_options(self)
        if self.uses_counterfactuals and not self.model_name:
            raise FieldError("model_name", f'must name a CGN, as train_on is "{self.train_on}"')
        if self.train_on == BOTH and self.batch_size % 2:
            raise FieldError(
                "batch_size", f'must be even, as train_on "{BOTH}" halves it, is {self.batch_size}'
            )
        if self.train_on == INTERVENTION and self.dataset == FOLDER:
            raise FieldError(
                "train_on", f'must not be "{INTERVENTION}": nobody knows the masks of a folder\'s images'
            )

    @property
    def uses_counterfactuals(self) -> bool:
        """Whether a CGN makes training images."""
        return self.train_on in (COUNTERFACTUAL, BOTH)

    @property
    def steps(self) -> int:
        """Training steps, the last of which may pass images_seen."""
        return -(-self.images_seen // self.batch_size)

    @property
    def policy(self) -> Policy:
        """How counterfactuals are drawn."""
        return Policy(
            vary=self.vary,
            labels=self.labels,
            cf_ratio=self.cf_ratio,
            bank_masks=self.bank_masks,
            bank_textures=self.bank_textures,
            bank_backgrounds=self.bank_backgrounds,
            jitter=self.jitter,
        )


TRAIN_CLASSIFIER = Kind(
    "train_classifier",
    TrainClassifierConfig,
    run="trainer.classifier.train:train_classifier",
    description="Trains a classifier on originals, counterfactuals or both.",
    uses_model=GIVEN_MODEL,
)
