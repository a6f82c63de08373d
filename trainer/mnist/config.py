"""Options of the run that trains a CGN."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP
from cgn.datasets import DATASETS, RESOLUTIONS
from trainer.run.kind import Kind
from trainer.run.options import (
    HIGHEST_COUNT,
    HIGHEST_SEED,
    PATH,
    FieldError,
    check_data_options,
    check_options,
    option,
)

STYLES = ("random", "vgg16")


@dataclass(frozen=True)
class TrainCgnConfig:
    """Options of `train_cgn`; the fields are those of the API's TrainCgnSpec. Raises FieldError."""

    model_name: str = option(
        "my_cgn", "name to publish the model under", pattern=NAME, pattern_help=NAME_HELP
    )
    dataset: str = option("colored_mnist", "data set", choices=DATASETS)
    folder: str = option(
        "", "path of your images, one sub-folder per class", pattern=PATH, pattern_help="a path", empty="none"
    )
    resolution: int = option(32, "side of your scaled images, in pixels", choices=RESOLUTIONS)
    steps: int = option(14_000, "training steps of all stages", low=1, high=HIGHEST_COUNT)
    batch_size: int = option(32, "images per step; twice as many after the joint stage", low=1, high=1024)
    seed: int = option(0, "seed of initialisation, data order and noise", low=0, high=HIGHEST_SEED)
    lr_generator: float = option(1e-3, "Adam's learning rate of the mechanisms", above=0, high=1)
    lr_discriminator: float = option(6e-4, "Adam's learning rate of the discriminator", above=0, high=1)
    weight_binary: float = option(0.3, "weight of the mask's binary-entropy loss", low=0)
    weight_mask: float = option(10.0, "weight of the mask-mean loss L_mask", low=0)
    mask_lowest: float = option(
        0.04,
        "mean mask value below which L_mask is positive; the final mean of a class may be down to 3/4 of it",
        low=0,
        high=0.5,
    )
    mask_highest: float = option(
        0.35,
        "mean mask value above which L_mask is positive; the final mean of a class may be 0.1 higher",
        above=0,
        high=0.6,
    )
    weight_style: float = option(1.0, "weight of the style loss", low=0)
    style: str = option(
        "random", "filters of the style loss: fixed random filters, or those of VGG16", choices=STYLES
    )
    vgg16_weights: str = option(
        "",
        'file with the weights for style "vgg16"',
        pattern=PATH,
        pattern_help="a path",
        empty="in torch's cache",
    )
    train_images: int = option(
        0, "training images used", low=100, high=HIGHEST_COUNT, zero="all of the split"
    )
    checkpoint_every: int = option(500, "steps between checkpoints", low=1, high=HIGHEST_COUNT)
    sample_every: int | None = option(
        None,
        "steps between sample sheets",
        low=1,
        high=HIGHEST_COUNT,
        absent="the steps of an epoch, at least 100",
    )

    restarts: int = option(
        2, "most restarts, each with another seed, after the masks have collapsed", low=0, high=10
    )
    publish_collapsed: bool = option(
        False, "publish even if the masks have collapsed, without a restart, with a note on the card"
    )

    @property
    def later_batch_size(self) -> int:
        """Images per step of the segmenter and shape stages, where an image costs a third of the time."""
        return 2 * self.batch_size

    def __post_init__(self) -> None:
        check_options(self)
        check_data_options(self)
        if self.mask_lowest >= self.mask_highest:
            allowed = f"must be below mask_highest, {self.mask_highest:g}"
            raise FieldError("mask_lowest", f"{allowed}, is {self.mask_lowest:g}")
        if self.vgg16_weights and self.style != "vgg16":
            allowed = 'must be empty unless style is "vgg16"'
            raise FieldError("vgg16_weights", f"{allowed}, is {self.vgg16_weights!r}")


TRAIN_CGN = Kind(
    "train_cgn",
    TrainCgnConfig,
    run="trainer.mnist.train:train_cgn",
    description="Trains a CGN on a variant of MNIST or on a folder of images.",
    publishes=True,
)
