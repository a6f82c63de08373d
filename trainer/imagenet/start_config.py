"""Options of the runs that make the model an ImageNet CGN starts from.

`train_biggan` and `train_saliency` train its parts, and `start_imagenet` joins them. `import_weights` makes
the model from the authors' public weights instead.
"""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP
from cgn.datasets import DATASETS, RESOLUTIONS, VARIANTS
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

WEIGHTS = CGN, BIGGAN, MNIST = "cgn", "biggan", "mnist"


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
    batch_size: int = option(32, "images per step, whose statistics batch norm uses", low=2, high=1024)
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


@dataclass(frozen=True)
class StartImagenetConfig:
    """Options of `start_imagenet`. Raises FieldError."""

    model_name: str = option(
        "my_start", "name to publish the model under", pattern=NAME, pattern_help=NAME_HELP
    )
    biggan: str = option(
        "biggan", "job id or directory of a finished train_biggan", pattern=PATH, pattern_help="a path"
    )
    saliency: str = option(
        "saliency", "job id or directory of a finished train_saliency", pattern=PATH, pattern_help="a path"
    )

    def __post_init__(self) -> None:
        check_options(self)


START_IMAGENET = Kind(
    "start_imagenet",
    StartImagenetConfig,
    run="trainer.imagenet.start:start_imagenet",
    description="Joins a BigGAN and a U²-Net into the model that an ImageNet CGN is trained from.",
    publishes=True,
)


@dataclass(frozen=True)
class ImportWeightsConfig:
    """Options of `import_weights`; the fields are those of the API's ImportWeightsSpec. Raises FieldError."""

    model_name: str = option(
        "my_import", "name to publish the model under", pattern=NAME, pattern_help=NAME_HELP
    )
    weights: str = option(CGN, "network in the file", choices=WEIGHTS)
    file: str = option("", "file of the weights", pattern=PATH, pattern_help="a path", empty="refused")
    u2net: str = option(
        "", "file of U²-Net's weights", pattern=PATH, pattern_help="a path", empty="unless weights is biggan"
    )
    dataset: str = option(
        "", "data set that the network was trained on", choices=VARIANTS, empty="unless weights is mnist"
    )

    def __post_init__(self) -> None:
        check_options(self)
        if not self.file:
            raise FieldError("file", "must be the path of the weights, is empty")
        for name, kind in (("u2net", BIGGAN), ("dataset", MNIST)):
            value = getattr(self, name)
            if (self.weights == kind) != bool(value):
                must = "be given" if self.weights == kind else "be empty"
                raise FieldError(name, f'must {must}, as weights is "{self.weights}", is {value!r:.80}')


IMPORT_WEIGHTS = Kind(
    "import_weights",
    ImportWeightsConfig,
    run="trainer.imagenet.import_weights:import_weights",
    description="Imports the authors' public weights as a model.",
    publishes=True,
)
