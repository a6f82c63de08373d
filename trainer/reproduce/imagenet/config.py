"""The cells of the paper's ImageNet model, made from weights that the user has. No torch in here."""

from dataclasses import dataclass
from typing import Any

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from trainer.reproduce.cell.cell import Cell, CellSet
from trainer.run.kind import GIVEN_MODEL, Kind
from trainer.run.options import HIGHEST_SEED, PATH, check_options, option, recorded_options

PREFIX = "imagenet"  # of the names of cells
BIGGAN, CGN = "table1/biggan", "table1/cgn"
CLASSES, COUNTERFACTUALS = "figures/classes", "figures/counterfactuals"
INTERPOLATIONS, FAILURES = "figures/interpolations", "figures/failures"
TABLE1 = (BIGGAN, CGN)
NAMES = (*TABLE1, CLASSES, COUNTERFACTUALS, INTERPOLATIONS, FAILURES)


@dataclass(frozen=True)
class ImagenetCellConfig(Cell):
    """Options of `imagenet_cell`. Raises FieldError."""

    cell: str = option(CGN, "entry of table 1, or group of figures", choices=NAMES)
    seed: int = option(0, "seed of the first noise", low=0, high=HIGHEST_SEED)
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
    images: int = option(2000, "images that the scores of table 1 are taken over", low=2, high=1_000_000)
    causes: int = option(4, "noise seeds of each class that are searched for failures", low=2, high=10_000)

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def key(self) -> str:
        return f"{PREFIX}/{self.cell}/{self.seed}"

    @property
    def kind(self) -> Kind:
        return IMAGENET_CELL

    @property
    def model(self) -> tuple[str, str]:
        return self.model_name, self.model_version

    @property
    def result_name(self) -> str:
        if self.model_name:
            return f"{PREFIX}/{self.cell}/{self.model_name}@{self.model_version}-{self.seed}"
        return self.key

    def accepts_model(self, *, named: bool) -> bool:
        return True

    def variables(self) -> list[str]:
        weights = [f"WEIGHTS={self.weights}"] if self.weights else []
        return weights + ([f"MODEL={self.model_name}:{self.model_version}"] if self.model_name else [])

    def runs(self) -> dict[str, dict[str, Any]]:
        return {
            "imagenet_cell": recorded_options(self) | {"weights": ""}
        }  # the folder does not change the result


def on_request() -> list[ImagenetCellConfig]:
    """Returns all cells. They are never planned, as not everybody has the weights."""
    return [ImagenetCellConfig(cell=name) for name in NAMES]


def named(name: str) -> ImagenetCellConfig:
    """Returns the cell of a name, of any seed. Raises ValueError or FieldError."""
    cell, seed = name.removeprefix(f"{PREFIX}/").rsplit("/", 1)
    return ImagenetCellConfig(cell=cell, seed=int(seed))


IMAGENET_CELL = Kind(
    "imagenet_cell",
    ImagenetCellConfig,
    run="trainer.reproduce.imagenet.cell:imagenet_cell",
    description="Computes a cell that needs the public ImageNet weights.",
    uses_model=GIVEN_MODEL,
)
CELLS = CellSet(
    prefix=PREFIX,
    example=f"{PREFIX}/{CGN}/0",
    planned=tuple,
    named=named,
    on_request=on_request,
)
