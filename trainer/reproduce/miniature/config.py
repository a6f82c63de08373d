"""The cells of ImageNet's miniature: their options, and the runs that each of them takes. No torch in here.

The miniature is the paper's ImageNet experiment at 32 pixels, on Wildlife MNIST in place of the thousand
classes. A BigGAN is trained here. A U²-Net learns from drawn objects, never from digits. A CGN is then
distilled from both, with all losses and without each of them (table 1).
"""

from dataclasses import dataclass, replace
from typing import Any

from trainer.classifier.config import TrainClassifierConfig
from trainer.imagenet.config import TrainImagenetConfig
from trainer.imagenet.start_config import TrainBigganConfig, TrainSaliencyConfig
from trainer.reproduce.cell.cell import Cell, CellSet, digest, trial_variables
from trainer.run.kind import Kind
from trainer.run.options import HIGHEST_COUNT, HIGHEST_SEED, check_options, option, recorded_options

PREFIX = "imagenet/miniature"  # of its cells' names
SEEDS = range(1)  # of the cells that `make reproduce` makes unasked
DATASET = "wildlife_mnist"
TEACHER_STEPS, SALIENCY_STEPS, STEPS = 12_000, 4000, 600
IMAGES_SEEN = 150_000
JUDGE_STEPS = 1000
LOOKS = 10  # sample sheets of a training, after the one at its start
# Differences from the paper's settings. Steps are few, so learning rates are high and a step has one small
# batch. Random features are weaker than VGG16's, so their weights are larger. L_text cuts its patches from
# x_gt, as the authors' code does: patches of the composite would come from the foreground itself, which a
# large λ5 then turns into one flat colour. With less than half of this λ5, foregrounds keep the background
# around the object, and masks grow too large.
SETTINGS: dict[str, Any] = {
    "lr_shape": 3e-4,
    "lr_texture": 3e-4,
    "lr_background": 3e-4,
    "weight_l1": 500.0,
    "weight_perceptual": 500.0,
    "weight_binary": 150.0,
    "weight_text": 1500.0,
    "weight_background": 1500.0,
    "patches_of": "x_gt",
}
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
class MiniatureCellConfig(Cell):
    """Options of `miniature_cell`. Raises FieldError."""

    row: str = option("full", "row of the table", choices=(TEACHER, *ABLATIONS))
    seed: int = option(0, "seed of every training", low=0, high=HIGHEST_SEED)
    steps: int | None = option(
        None, "training steps of every network, for a trial", low=1, high=HIGHEST_COUNT, absent="the recipe's"
    )
    images_seen: int | None = option(
        None, "images seen by the classifier, for a trial", low=1, high=HIGHEST_COUNT, absent="the recipe's"
    )

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def key(self) -> str:
        return f"{PREFIX}/{self.row}/{self.seed}"

    @property
    def kind(self) -> Kind:
        return MINIATURE_CELL

    @property
    def trial(self) -> bool:
        return bool(self.steps or self.images_seen)

    @property
    def model_cell(self) -> "MiniatureCellConfig":
        return replace(self, row=TEACHER)

    @property
    def model(self) -> tuple[str, str]:
        return start_name(self), f"recipe-{digest(self.model_cell)[:12]}"

    def variables(self) -> list[str]:
        return trial_variables(self.steps, self.images_seen)

    def runs(self) -> dict[str, dict[str, Any]]:
        runs = teacher_runs(self)
        if self.row != TEACHER:
            runs["train_imagenet"] = recorded_options(cgn_config(self, self.model[1]))
        return runs


def planned() -> list[MiniatureCellConfig]:
    """Returns the cells of the table, the teacher before the cells that use it."""
    return [MiniatureCellConfig(row=row, seed=seed) for seed in SEEDS for row in (TEACHER, *ABLATIONS)]


def named(name: str) -> MiniatureCellConfig:
    """Returns the cell of a name, of any seed. Raises ValueError or FieldError."""
    row, seed = name.removeprefix(f"{PREFIX}/").split("/")
    return MiniatureCellConfig(row=row, seed=int(seed))


def start_name(cell: MiniatureCellConfig) -> str:
    """Returns the name of the model that every CGN of a seed starts from."""
    return f"imagenet_miniature_start-seed{cell.seed}"


def teacher_config(cell: MiniatureCellConfig) -> TrainBigganConfig:
    """Returns the training of the unconstrained cGAN."""
    return TrainBigganConfig(dataset=DATASET, steps=cell.steps or TEACHER_STEPS, seed=cell.seed)


def saliency_config(cell: MiniatureCellConfig) -> TrainSaliencyConfig:
    """Returns the training of the mask network."""
    return TrainSaliencyConfig(steps=cell.steps or SALIENCY_STEPS, seed=cell.seed)


def classifier_config(cell: MiniatureCellConfig) -> TrainClassifierConfig:
    """Returns the training of the classifier of the Inception score. It knows digits by shape alone."""
    return TrainClassifierConfig(
        dataset=DATASET,
        train_on="intervention",
        images_seen=cell.images_seen or IMAGES_SEEN,
        seed=cell.seed,
    )


def judge_steps(cell: MiniatureCellConfig) -> int:
    """Returns the training steps of the segmenter that scores masks."""
    return cell.steps or JUDGE_STEPS


def cgn_config(cell: MiniatureCellConfig, start_version: str) -> TrainImagenetConfig:
    """Returns the training of the CGN, for any row but the teacher."""
    steps = cell.steps or STEPS
    return TrainImagenetConfig(
        model_name=f"imagenet_miniature_{cell.row}-seed{cell.seed}",
        start_model=start_name(cell),
        start_version=start_version,
        preset="paper",
        features="random",
        seed=cell.seed,
        steps=steps,
        accumulation=1,
        batch_size=16,
        sample_every=max(1, steps // LOOKS),
        checkpoint_every=max(1, steps // LOOKS),
        **SETTINGS,
        **ABLATIONS[cell.row],
    )


def teacher_runs(cell: MiniatureCellConfig) -> dict[str, dict[str, Any]]:
    """Returns the options of the runs that make the start model and the measures of a seed, by run."""
    return {
        "train_biggan": recorded_options(teacher_config(cell)),
        "train_saliency": recorded_options(saliency_config(cell)),
        "train_classifier": recorded_options(classifier_config(cell)),
        "mask_judge": {"variant": DATASET, "steps": judge_steps(cell), "seed": cell.seed},
    }


MINIATURE_CELL = Kind(
    "miniature_cell",
    MiniatureCellConfig,
    run="trainer.reproduce.miniature.cell:miniature_cell",
    description="Computes a cell of the ImageNet experiments in miniature.",
)
CELLS = CellSet(prefix=PREFIX, example=f"{PREFIX}/full/0", planned=planned, named=named)
