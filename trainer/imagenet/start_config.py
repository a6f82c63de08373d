"""Options of the run that puts a start model together."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP
from trainer.run.kind import Kind
from trainer.run.options import PATH, check_options, option


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
