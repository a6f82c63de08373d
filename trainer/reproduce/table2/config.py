"""Options of the run that makes one cell of the comparison."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from trainer.reproduce.table2.methods import ALL, VARIANTS
from trainer.run.kind import GIVEN_MODEL, Kind
from trainer.run.options import HIGHEST_COUNT, HIGHEST_SEED, FieldError, check_options, option


@dataclass(frozen=True)
class ReproduceCellConfig:
    """Options of `reproduce_cell`; the fields are those of the API's ReproduceCellSpec.

    Raises FieldError.
    """

    variant: str = option("colored", "data set", choices=tuple(VARIANTS))
    method: str = option("cgn", "row of the table", choices=tuple(ALL))
    seed: int = option(0, "seed of the CGN's training and of the classifier's", low=0, high=HIGHEST_SEED)
    model_name: str = option(
        "",
        "CGN to use instead of the seed's own",
        pattern=NAME,
        pattern_help=NAME_HELP,
        empty="the seed's own, trained if need be",
    )
    model_version: str = option(
        "", "version of that CGN", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    steps: int = option(
        0, "training steps of the CGN, for a trial", low=1, high=HIGHEST_COUNT, zero="the recipe's"
    )
    images_seen: int = option(
        0, "images seen by the classifier, for a trial", low=1, high=HIGHEST_COUNT, zero="the recipe's"
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.model_name and not ALL[self.method].uses_cgn:
            users = ", ".join(name for name, method in ALL.items() if method.uses_cgn)
            raise FieldError(
                "model_name", f'must be empty, as "{self.method}" uses no given CGN; those are {users}'
            )
        if self.model_version and not self.model_name:
            raise FieldError("model_version", "must be empty, as there is no model_name")
        if self.model_name and self.steps:
            raise FieldError("steps", "must be 0, as a given CGN is not trained")

    @property
    def key(self) -> str:
        """The cell's name: variant/method/seed."""
        return f"{self.variant}/{self.method}/{self.seed}"

    @property
    def trial(self) -> bool:
        """Whether it is cut short, to try things out: no result to be gathered."""
        return bool(self.steps or self.images_seen)


REPRODUCE_CELL = Kind(
    "reproduce_cell",
    ReproduceCellConfig,
    run="trainer.reproduce.table2.cell:reproduce_cell",
    description="Makes a cell of table 2: trains a CGN, or a classifier and its scores.",
    uses_model=GIVEN_MODEL,
)
