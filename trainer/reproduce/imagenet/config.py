"""Options of the run that makes a cell of the paper's ImageNet model from weights that the user has."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from trainer.run.kind import GIVEN_MODEL, Kind
from trainer.run.options import HIGHEST_SEED, PATH, check_options, option

BIGGAN, CGN = "table1/biggan", "table1/cgn"
CLASSES, COUNTERFACTUALS = "figures/classes", "figures/counterfactuals"
INTERPOLATIONS, FAILURES = "figures/interpolations", "figures/failures"
TABLE1 = (BIGGAN, CGN)
CELLS = (*TABLE1, CLASSES, COUNTERFACTUALS, INTERPOLATIONS, FAILURES)


@dataclass(frozen=True)
class ImagenetCellConfig:
    """Options of `imagenet_cell`. Raises FieldError."""

    cell: str = option(CGN, "what is made", choices=CELLS)
    seed: int = option(0, "of the first noise", low=0, high=HIGHEST_SEED)
    weights: str = option(
        "",
        "folder with cgn.pth, and for table 1 inception_v3.pth",
        pattern=PATH,
        pattern_help="a path",
        empty="none, and the cell says what is missing",
    )
    model_name: str = option(
        "",
        "published CGN to use instead of cgn.pth, such as an ablation",
        pattern=NAME,
        pattern_help=NAME_HELP,
        empty="none",
    )
    model_version: str = option(
        "", "version of that CGN", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    images: int = option(2000, "pictures that the scores of table 1 are taken of", low=2, high=1_000_000)
    causes: int = option(4, "causes of a class that failures are looked for in", low=2, high=10_000)

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def key(self) -> str:
        """The cell's name."""
        return f"imagenet/{self.cell}/{self.seed}"

    @property
    def trial(self) -> bool:
        """Whether it is cut short: never; how many images a score is of, its cell says."""
        return False


IMAGENET_CELL = Kind(
    "imagenet_cell",
    ImagenetCellConfig,
    run="trainer.reproduce.imagenet.cell:imagenet_cell",
    description="Makes a cell that needs the public ImageNet weights.",
    uses_model=GIVEN_MODEL,
)
