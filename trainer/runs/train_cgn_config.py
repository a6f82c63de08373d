"""Options of the run that trains a CGN."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP
from trainer.runs.config import DATASETS, HIGHEST_COUNT, HIGHEST_SEED, check_options, option


@dataclass(frozen=True)
class TrainCgnConfig:
    """Options of `train_cgn`; the fields are those of the API's TrainCgnSpec. Raises FieldError."""

    model_name: str = option(
        "my_cgn", "name to publish the model under", pattern=NAME, pattern_help=NAME_HELP
    )
    dataset: str = option("colored_mnist", "data set", choices=DATASETS)
    steps: int = option(3000, "training steps", low=1, high=HIGHEST_COUNT)
    batch_size: int = option(64, "images per step", low=1, high=1024)
    seed: int = option(0, "seed of initialisation, data order and noise", low=0, high=HIGHEST_SEED)
    lr_generator: float = option(1e-3, "Adam's learning rate of the mechanisms", above=0, high=1)
    lr_discriminator: float = option(6e-4, "Adam's learning rate of the discriminator", above=0, high=1)
    weight_binary: float = option(0.3, "weight of the mask's binary-entropy loss", low=0)
    weight_mask: float = option(10.0, "weight of the mask-mean loss", low=0)
    weight_style: float = option(1.0, "weight of the style loss", low=0)
    train_images: int = option(
        0, "training images used", low=100, high=HIGHEST_COUNT, zero="all of the split"
    )
    checkpoint_every: int = option(500, "steps between checkpoints", low=1, high=HIGHEST_COUNT)
    sample_every: int = option(
        0, "steps between sample sheets", low=1, high=HIGHEST_COUNT, zero="one per pass over the images"
    )

    def __post_init__(self) -> None:
        check_options(self)
