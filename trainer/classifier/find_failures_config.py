"""Options of the run that finds a CGN's failures."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from trainer.run.kind import GIVEN_MODEL, Kind
from trainer.run.options import HIGHEST_COUNT, HIGHEST_SEED, PATH, check_options, option


@dataclass(frozen=True)
class FindFailuresConfig:
    """Options of `find_failures`. Raises FieldError."""

    model_name: str = option(
        "wildlife_mnist", "published CGN to look at", pattern=NAME, pattern_help=NAME_HELP
    )
    model_version: str = option(
        "", "its version", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    classes: str = option(
        "",
        "classes to look at, separated by semicolons: names, their beginnings, WordNet ids or indices",
        pattern=PATH,
        pattern_help="a list",
        empty="all",
    )
    causes: int = option(16, "causes of each class, all mechanisms' noise the same", low=2, high=10_000)
    truncation: float = option(1.0, "of the noise, where the family has one", above=0, high=1)
    seed: int = option(0, "of the first cause", low=0, high=HIGHEST_SEED)
    shown: int = option(
        12,
        "worst classes with pictures in the report; as many of the best are shown",
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
