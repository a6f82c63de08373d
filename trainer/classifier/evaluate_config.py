"""Options of the run that scores a classifier."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from cgn.datasets import DATASETS, RESOLUTIONS
from cgn.sampling.policy import LABELS, VARY
from trainer.run.kind import GIVEN_MODEL, Kind
from trainer.run.options import HIGHEST_SEED, PATH, check_data_options, check_options, option

_MOST_COUNTERFACTUALS = 1_000_000


@dataclass(frozen=True)
class EvaluateClassifierConfig:
    """Options of `evaluate_classifier`; the fields are those of the API's EvaluateClassifierSpec.

    Raises FieldError.
    """

    classifier: str = option(
        "classifier.safetensors",
        "file of the weights, <job id>/classifier.safetensors or another",
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
        "CGN whose counterfactuals are classified too",
        pattern=NAME,
        pattern_help=NAME_HELP,
        empty="none",
    )
    model_version: str = option(
        "", "version of that CGN", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    counterfactuals: int = option(2000, "counterfactuals classified", low=1, high=_MOST_COUNTERFACTUALS)
    vary: str = option(VARY[0], "mechanisms with a label and noise of their own", choices=VARY)
    labels: str = option(LABELS[0], "labels of the mechanisms that vary", choices=LABELS)
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
