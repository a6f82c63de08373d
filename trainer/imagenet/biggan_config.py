"""Options of the run that trains a BigGAN."""

from dataclasses import dataclass

from cgn.datasets import DATASETS, RESOLUTIONS
from trainer.run.kind import Kind
from trainer.run.options import (
    HIGHEST_COUNT,
    HIGHEST_SEED,
    PATH,
    check_data_options,
    check_options,
    option,
)


@dataclass(frozen=True)
class TrainBigganConfig:
    """Options of `train_biggan`. Raises FieldError."""

    dataset: str = option("wildlife_mnist", "data set", choices=DATASETS)
    folder: str = option(
        "", "path of your images, one sub-folder per class", pattern=PATH, pattern_help="a path", empty="none"
    )
    resolution: int = option(32, "pixels a side that your images are scaled to", choices=RESOLUTIONS)
    ch: int = option(16, "channels at the full resolution; all widths are multiples of it", low=3, high=128)
    z_dim: int = option(64, "length of the noise, and of the class embedding", low=1, high=1024)
    steps: int = option(6000, "training steps", low=1, high=HIGHEST_COUNT)
    batch_size: int = option(32, "images per step; batch norm takes its statistics of them", low=2, high=1024)
    seed: int = option(0, "seed of initialisation, data order and noise", low=0, high=HIGHEST_SEED)
    lr_generator: float = option(3e-4, "Adam's learning rate of the BigGAN", above=0, high=1)
    lr_discriminator: float = option(6e-4, "Adam's learning rate of the discriminator", above=0, high=1)
    train_images: int = option(
        0, "training images used", low=100, high=HIGHEST_COUNT, zero="all of the split"
    )
    checkpoint_every: int = option(500, "steps between checkpoints", low=1, high=HIGHEST_COUNT)
    sample_every: int = option(500, "steps between sample sheets", low=1, high=HIGHEST_COUNT)

    def __post_init__(self) -> None:
        check_options(self)
        check_data_options(self)


TRAIN_BIGGAN = Kind(
    "train_biggan",
    TrainBigganConfig,
    run="trainer.imagenet.biggan:train_biggan",
    description="Trains a small class-conditional BigGAN on a variant of MNIST or on a folder of images.",
)
