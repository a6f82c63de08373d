"""Options of the runs that train and score classifiers, and of the run that finds the failures of a CGN."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from cgn.datasets import DATASETS, FOLDER, RESOLUTIONS
from cgn.sampling.policy import HIGHEST_RATIO, LABELS, MOST_ROWS, VARY, Policy
from trainer.run.kind import GIVEN_MODEL, Kind
from trainer.run.options import (
    HIGHEST_COUNT,
    HIGHEST_SEED,
    PATH,
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

    The training images are originals, counterfactuals of a CGN, both in equal parts, or true interventions.
    Only the variants of MNIST have interventions: digits with random colours or textures, drawn again in
    every epoch. Raises FieldError.
    """

    dataset: str = option("colored_mnist", "data set", choices=DATASETS)
    folder: str = option(
        "", "path of the images, a folder per class", empty='none, unless dataset is "folder"'
    )
    resolution: int = option(32, "pixels a side of a folder's images", choices=RESOLUTIONS)
    model_name: str = option(
        "",
        "CGN that generates the counterfactuals",
        pattern=NAME,
        pattern_help=NAME_HELP,
        empty="none, where train_on needs no counterfactuals",
    )
    model_version: str = option(
        "", "version of that CGN", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    train_on: str = option(COUNTERFACTUAL, "training images", choices=TRAIN_ON)
    images_seen: int = option(
        600_000, "training images seen, repetitions included", low=1, high=HIGHEST_COUNT
    )
    counterfactuals: int = option(
        0,
        "different counterfactuals, drawn once and then repeated",
        low=1,
        high=HIGHEST_COUNT,
        zero="no limit",
    )
    bank_masks: int = option(50_000, "masks to recombine", low=1, high=MOST_ROWS, zero="fresh ones")
    bank_textures: int = option(20_000, "textures to recombine", low=1, high=MOST_ROWS, zero="fresh ones")
    bank_backgrounds: int = option(
        20_000, "backgrounds to recombine", low=1, high=MOST_ROWS, zero="fresh ones"
    )
    cf_ratio: int = option(1, "consecutive counterfactuals with the same shape", low=1, high=HIGHEST_RATIO)
    vary: str = option(VARY[0], "mechanisms with independent labels and noise", choices=VARY)
    labels: str = option(LABELS[0], "labels of the independent mechanisms", choices=LABELS)
    jitter: bool = option(True, "randomly change shape and colours of every counterfactual a little")
    batch_size: int = option(32, "images per step", low=1, high=4096)
    learning_rate: float = option(
        1.0, "initial learning rate of Adadelta, which falls to 0", above=0, high=10
    )
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
                "train_on", f'must not be "{INTERVENTION}": the masks of a folder\'s images are unknown'
            )

    @property
    def uses_counterfactuals(self) -> bool:
        """Whether a CGN generates training images."""
        return self.train_on in (COUNTERFACTUAL, BOTH)

    @property
    def steps(self) -> int:
        """Training steps; the last one may exceed images_seen."""
        return -(-self.images_seen // self.batch_size)

    @property
    def policy(self) -> Policy:
        """The policy that draws counterfactuals."""
        return Policy.of(self)


TRAIN_CLASSIFIER = Kind(
    "train_classifier",
    TrainClassifierConfig,
    run="trainer.classifier.train:train_classifier",
    description="Trains a classifier on originals, counterfactuals or both.",
    uses_model=GIVEN_MODEL,
)


@dataclass(frozen=True)
class TrainEnsembleConfig(TrainClassifierConfig):
    """Options of `train_ensemble`; the fields are those of the API's TrainEnsembleSpec.

    Raises FieldError.
    """

    members: int = option(5, "number of classifiers, with consecutive seeds from seed", low=2, high=32)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed > HIGHEST_SEED - self.members:
            raise FieldError("seed", f"must be at least {self.members} below 2^63, is {self.seed}")


TRAIN_ENSEMBLE = Kind(
    "train_ensemble",
    TrainEnsembleConfig,
    run="trainer.classifier.ensemble:train_ensemble",
    description="Trains several classifiers that differ by their seeds, and scores them together.",
    uses_model=GIVEN_MODEL,
)


@dataclass(frozen=True)
class EvaluateClassifierConfig:
    """Options of `evaluate_classifier`; the fields are those of the API's EvaluateClassifierSpec.

    Raises FieldError.
    """

    classifier: str = option(
        "classifier.safetensors",
        "file of the weights, or <job id>/classifier.safetensors",
        pattern=PATH,
        pattern_help="a path",
    )
    dataset: str = option("colored_mnist", "data set", choices=DATASETS)
    folder: str = option(
        "", "path of the images, a folder per class", empty='none, unless dataset is "folder"'
    )
    resolution: int = option(32, "pixels a side of a folder's images", choices=RESOLUTIONS)
    model_name: str = option(
        "",
        "CGN whose counterfactuals are also classified",
        pattern=NAME,
        pattern_help=NAME_HELP,
        empty="none",
    )
    model_version: str = option(
        "", "version of that CGN", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    counterfactuals: int = option(2000, "counterfactuals classified", low=1, high=1_000_000)
    vary: str = option(VARY[0], "mechanisms with independent labels and noise", choices=VARY)
    labels: str = option(LABELS[0], "labels of the independent mechanisms", choices=LABELS)
    seed: int = option(0, "seed of the counterfactuals", low=0, high=HIGHEST_SEED)

    def __post_init__(self) -> None:
        check_options(self)
        check_data_options(self)


EVALUATE_CLASSIFIER = Kind(
    "evaluate_classifier",
    EvaluateClassifierConfig,
    run="trainer.classifier.evaluate:evaluate_classifier",
    description="Scores a trained classifier.",
    uses_model=GIVEN_MODEL,
)


@dataclass(frozen=True)
class FindFailuresConfig:
    """Options of `find_failures`. Raises FieldError."""

    model_name: str = option(
        "wildlife_mnist", "published CGN to examine", pattern=NAME, pattern_help=NAME_HELP
    )
    model_version: str = option(
        "", "its version", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    classes: str = option(
        "",
        "classes to examine, separated by semicolons: names, beginnings of names, WordNet ids or indices",
        pattern=PATH,
        pattern_help="a list",
        empty="all",
    )
    causes: int = option(
        16, "factors of each class, with the same noise for all mechanisms", low=2, high=10_000
    )
    truncation: float = option(1.0, "truncation of the noise, if the family has one", above=0, high=1)
    seed: int = option(0, "seed of the first factor", low=0, high=HIGHEST_SEED)
    shown: int = option(
        12,
        "worst classes with images in the report, and as many of the best",
        low=1,
        high=HIGHEST_COUNT,
    )

    def __post_init__(self) -> None:
        check_options(self)


FIND_FAILURES = Kind(
    "find_failures",
    FindFailuresConfig,
    run="trainer.classifier.find_failures:find_failures",
    description="Finds the classes at which a CGN fails, worst first.",
    uses_model=GIVEN_MODEL,
)
