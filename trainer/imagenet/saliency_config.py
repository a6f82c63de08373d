"""Options of the run that trains a saliency network."""

from dataclasses import dataclass

from trainer.run.kind import Kind
from trainer.run.options import HIGHEST_COUNT, HIGHEST_SEED, check_options, option


@dataclass(frozen=True)
class TrainSaliencyConfig:
    """Options of `train_saliency`. Raises FieldError."""

    inner: int = option(4, "inner channels of all stages of U²-Net", low=1, high=512)
    outer: int = option(16, "outer channels of all stages of U²-Net", low=1, high=512)
    steps: int = option(3000, "training steps", low=1, high=HIGHEST_COUNT)
    batch_size: int = option(16, "pictures per step", low=2, high=1024)
    seed: int = option(0, "seed of initialisation and of the pictures", low=0, high=HIGHEST_SEED)
    learning_rate: float = option(2e-3, "Adam's learning rate", above=0, high=1)
    checkpoint_every: int = option(500, "steps between checkpoints", low=1, high=HIGHEST_COUNT)
    sample_every: int = option(500, "steps between sample sheets", low=1, high=HIGHEST_COUNT)

    def __post_init__(self) -> None:
        check_options(self)


TRAIN_SALIENCY = Kind(
    "train_saliency",
    TrainSaliencyConfig,
    run="trainer.imagenet.saliency:train_saliency",
    description="Trains a small U²-Net to segment drawn objects.",
)
