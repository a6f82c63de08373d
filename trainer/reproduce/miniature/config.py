"""Options of the run that makes one cell of ImageNet's miniature."""

from dataclasses import dataclass
from typing import Any

from trainer.run.kind import Kind
from trainer.run.options import HIGHEST_COUNT, HIGHEST_SEED, check_options, option

TEACHER = "teacher"
# Options of `train_imagenet` by row of table 1.
ABLATIONS: dict[str, dict[str, Any]] = {
    "full": {},
    "without_shape": {"without": "shape"},
    "without_text": {"without": "text"},
    "without_bg": {"without": "bg"},
    "without_rec": {"without": "rec"},
    "discriminator": {"supervision": "discriminator"},
}


@dataclass(frozen=True)
class MiniatureCellConfig:
    """Options of `miniature_cell`. Raises FieldError."""

    row: str = option("full", "row of the table", choices=(TEACHER, *ABLATIONS))
    seed: int = option(0, "seed of every training", low=0, high=HIGHEST_SEED)
    steps: int = option(
        0, "training steps of every network, for a trial", low=1, high=HIGHEST_COUNT, zero="the recipe's"
    )
    images_seen: int = option(
        0, "images seen by the classifier, for a trial", low=1, high=HIGHEST_COUNT, zero="the recipe's"
    )

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def key(self) -> str:
        """The cell's name."""
        return f"imagenet/miniature/{self.row}/{self.seed}"

    @property
    def trial(self) -> bool:
        """Whether it is cut short, to try things out: no result to be gathered."""
        return bool(self.steps or self.images_seen)


MINIATURE_CELL = Kind(
    "miniature_cell",
    MiniatureCellConfig,
    run="trainer.reproduce.miniature.cell:miniature_cell",
    description="Makes a cell of the ImageNet experiments in miniature.",
)
