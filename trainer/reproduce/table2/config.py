"""The cells of table 2: their options, and the runs that each of them takes. No torch in here."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from trainer.classifier.config import TrainClassifierConfig
from trainer.mnist.config import TrainCgnConfig
from trainer.reproduce.cell.cell import Cell, CellSet, digest, trial_variables
from trainer.reproduce.table2.methods import (
    ALL,
    IDEAS,
    IDEAS_SEED,
    IDEAS_VARIANT,
    METHODS,
    MODEL,
    VARIANTS,
)
from trainer.run.kind import GIVEN_MODEL, Kind
from trainer.run.options import (
    HIGHEST_COUNT,
    HIGHEST_SEED,
    FieldError,
    check_options,
    option,
    recorded_options,
)

SEEDS = range(5)  # of the table, for every method; cells of other seeds can be made too


@dataclass(frozen=True)
class ReproduceCellConfig(Cell):
    """Options of `reproduce_cell`; the fields are those of the API's ReproduceCellSpec.

    Raises FieldError.
    """

    variant: str = option("colored", "data set", choices=tuple(VARIANTS))
    method: str = option("cgn", "row of the table", choices=tuple(ALL))
    seed: int = option(
        0, "seed of both trainings, of the CGN and of the classifier", low=0, high=HIGHEST_SEED
    )
    model_name: str = option(
        "",
        "CGN to use instead of the CGN of this seed",
        pattern=NAME,
        pattern_help=NAME_HELP,
        empty="the CGN of this seed, which is trained if it is missing",
    )
    model_version: str = option(
        "", "version of that CGN", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    steps: int | None = option(
        None, "training steps of the CGN, for a trial", low=1, high=HIGHEST_COUNT, absent="the recipe's"
    )
    images_seen: int | None = option(
        None, "images seen by the classifier, for a trial", low=1, high=HIGHEST_COUNT, absent="the recipe's"
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.model_name and not ALL[self.method].uses_cgn:
            users = ", ".join(name for name, method in ALL.items() if method.uses_cgn)
            raise FieldError(
                "model_name", f'must be empty, as "{self.method}" uses no CGN; these methods use one: {users}'
            )
        if self.model_version and not self.model_name:
            raise FieldError("model_version", "must be empty, as there is no model_name")
        if self.model_name and self.steps:
            raise FieldError("steps", "must be absent, as a named CGN is not trained")

    @property
    def key(self) -> str:
        """The cell's name: variant/method/seed."""
        return f"{self.variant}/{self.method}/{self.seed}"

    @property
    def kind(self) -> Kind:
        return REPRODUCE_CELL

    @property
    def trial(self) -> bool:
        return bool(self.steps or self.images_seen)

    @property
    def model_cell(self) -> "ReproduceCellConfig | None":
        if self.method == MODEL:
            return self
        if ALL[self.method].uses_cgn and not self.model_name:
            return dataclasses.replace(self, method=MODEL)
        return None

    @property
    def model(self) -> tuple[str, str]:
        if trained_by := self.model_cell:
            return trained_by.cgn().model_name, f"recipe-{digest(trained_by)[:12]}"
        return self.model_name, self.model_version

    @property
    def result_name(self) -> str:
        if self.model_name:
            return f"{self.variant}/{self.method}/{self.model_name}@{self.model_version}-{self.seed}"
        return self.key

    def accepts_model(self, *, named: bool) -> bool:
        return named or ALL[self.method].uses_cgn

    def variables(self) -> list[str]:
        model = [f"MODEL={self.model_name}:{self.model_version}"] if self.model_name else []
        return model + trial_variables(self.steps, self.images_seen)

    def runs(self) -> dict[str, dict[str, Any]]:
        runs = {}
        if trained_by := self.model_cell:
            runs["train_cgn"] = recorded_options(trained_by.cgn())
        if self.method != MODEL:
            runs["train_classifier"] = recorded_options(self.classifier())
        return runs

    def cgn(self) -> TrainCgnConfig:
        """Returns the training of the CGN, for the cell of a model."""
        dataset = VARIANTS[self.variant]
        # A trial is too short for sound masks. Its version name differs from the recipe's.
        trial: dict[str, Any] = {"steps": self.steps, "publish_collapsed": True} if self.steps else {}
        return TrainCgnConfig(
            model_name=f"{dataset}-seed{self.seed}", dataset=dataset, seed=self.seed, **trial
        )

    def classifier(self) -> TrainClassifierConfig:
        """Returns the training of the classifier, for any other cell."""
        name, version = self.model
        fresh_rows = {"bank_masks": 0, "bank_textures": 0, "bank_backgrounds": 0}  # faster for few images
        trial: dict[str, Any] = {"images_seen": self.images_seen, **fresh_rows} if self.images_seen else {}
        method = ALL[self.method]
        return TrainClassifierConfig(
            dataset=VARIANTS[self.variant],
            model_name=name,
            model_version=version,
            train_on=method.train_on,
            seed=self.seed,
            **{**method.options, **trial},
        )


def planned() -> list[ReproduceCellConfig]:
    """Returns the cells of the table seed by seed, each CGN before the cells that use it; ideas come last."""
    names = [(variant, method, seed) for seed in SEEDS for variant in VARIANTS for method in METHODS]
    names += [(IDEAS_VARIANT, idea, IDEAS_SEED) for idea in IDEAS]
    return [ReproduceCellConfig(variant=variant, method=method, seed=seed) for variant, method, seed in names]


def named(name: str) -> ReproduceCellConfig:
    """Returns the cell of a name, of any seed. Raises ValueError or FieldError."""
    variant, method, seed = name.split("/")
    return ReproduceCellConfig(variant=variant, method=method, seed=int(seed))


REPRODUCE_CELL = Kind(
    "reproduce_cell",
    ReproduceCellConfig,
    run="trainer.reproduce.table2.cell:reproduce_cell",
    description="Computes a cell of table 2: trains a CGN, or trains and scores a classifier.",
    uses_model=GIVEN_MODEL,
)
CELLS = CellSet(prefix="", example="colored/model/0", planned=planned, named=named)
