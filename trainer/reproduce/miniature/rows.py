"""ImageNet's miniature: what its cells run. No torch in here.

The paper's ImageNet experiment at 32 pixels, on digits of real textures (Wildlife MNIST) in place of its
thousand classes: a BigGAN that is trained here, a U²-Net that has learnt other objects than digits, and a CGN
distilled from both, with all losses and without each of them (table 1).
"""

from dataclasses import asdict
from typing import Any

from trainer.classifier.config import TrainClassifierConfig
from trainer.imagenet.biggan_config import TrainBigganConfig
from trainer.imagenet.config import TrainImagenetConfig
from trainer.imagenet.saliency_config import TrainSaliencyConfig
from trainer.reproduce.miniature.config import ABLATIONS, TEACHER, MiniatureCellConfig

PREFIX = "imagenet/miniature"  # of its cells' names
SEEDS = range(1)  # of the cells that `make reproduce` makes unasked
DATASET = "wildlife_mnist"
TEACHER_STEPS, SALIENCY_STEPS, STEPS = 12_000, 4000, 600
IMAGES_SEEN = 150_000
JUDGE_STEPS = 1000
LOOKS = 10  # sample sheets of a training, after the one at its start
# What differs from the paper's: steps are few, so rates are high and a step is of one small batch. Random
# features are weak beside VGG16's. L_text's patches are cut from x_gt, as in the authors' code: of composites
# they would be the foreground's own, and with a λ5 that matters it would be left with one flat colour. With a
# λ5 of less than half of this foregrounds keep the background around the object, and masks grow fat.
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


def planned() -> list[MiniatureCellConfig]:
    """The cells of the table, the teacher before its users."""
    return [MiniatureCellConfig(row=row, seed=seed) for seed in SEEDS for row in (TEACHER, *ABLATIONS)]


def start_name(cell: MiniatureCellConfig) -> str:
    """The model that every CGN of a cell's seed begins as."""
    return f"imagenet_miniature_start-seed{cell.seed}"


def teacher_config(cell: MiniatureCellConfig) -> TrainBigganConfig:
    """The unconstrained cGAN's training."""
    return TrainBigganConfig(dataset=DATASET, steps=cell.steps or TEACHER_STEPS, seed=cell.seed)


def saliency_config(cell: MiniatureCellConfig) -> TrainSaliencyConfig:
    """The mask network's training."""
    return TrainSaliencyConfig(steps=cell.steps or SALIENCY_STEPS, seed=cell.seed)


def classifier_config(cell: MiniatureCellConfig) -> TrainClassifierConfig:
    """The training of what the Inception score is taken by: it knows digits by their shapes alone."""
    return TrainClassifierConfig(
        dataset=DATASET,
        train_on="intervention",
        images_seen=cell.images_seen or IMAGES_SEEN,
        seed=cell.seed,
    )


def judge_steps(cell: MiniatureCellConfig) -> int:
    """Steps of the judge of masks."""
    return cell.steps or JUDGE_STEPS


def cgn_config(cell: MiniatureCellConfig, start_version: str) -> TrainImagenetConfig:
    """The CGN's training, of any row but the teacher."""
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
    """All options of the runs that a seed's start model and its measures come from, by run."""
    return {
        "train_biggan": asdict(teacher_config(cell)),
        "train_saliency": asdict(saliency_config(cell)),
        "train_classifier": asdict(classifier_config(cell)),
        "mask_judge": {"variant": DATASET, "steps": judge_steps(cell), "seed": cell.seed},
    }
