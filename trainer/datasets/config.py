"""Options of the run that writes a data set of counterfactuals."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from cgn.sampling.policy import HIGHEST_RATIO, LABELS, MOST_ROWS, VARY, Policy
from trainer.run.kind import GIVEN_MODEL, Kind
from trainer.run.options import HIGHEST_COUNT, HIGHEST_SEED, FieldError, check_options, option

FORMATS = IMAGE_FOLDER, WEBDATASET = "image_folder", "webdataset"


@dataclass(frozen=True)
class GenerateDatasetConfig:
    """Options of `generate_dataset`; the fields are those of the API's GenerateDatasetSpec.

    Raises FieldError.
    """

    model_name: str = option(
        "", "CGN that generates the images", pattern=NAME, pattern_help=NAME_HELP, empty="refused"
    )
    model_version: str = option(
        "", "version of that CGN", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    images: int = option(10_000, "images", low=1, high=HIGHEST_COUNT)
    format: str = option(IMAGE_FOLDER, "layout of the files", choices=FORMATS)
    shard_images: int = option(1000, "images per tar file, and between two checkpoints", low=1, high=100_000)
    bank_masks: int = option(0, "masks to recombine", low=1, high=MOST_ROWS, zero="fresh ones")
    bank_textures: int = option(0, "textures to recombine", low=1, high=MOST_ROWS, zero="fresh ones")
    bank_backgrounds: int = option(0, "backgrounds to recombine", low=1, high=MOST_ROWS, zero="fresh ones")
    cf_ratio: int = option(1, "consecutive counterfactuals with the same shape", low=1, high=HIGHEST_RATIO)
    vary: str = option(VARY[0], "mechanisms with independent labels and noise", choices=VARY)
    labels: str = option(LABELS[0], "labels of the independent mechanisms", choices=LABELS)
    jitter: bool = option(False, "randomly change shape and colours of every image a little")
    seed: int = option(0, "seed of the stream of images", low=0, high=HIGHEST_SEED)

    def __post_init__(self) -> None:
        check_options(self)
        if not self.model_name:
            raise FieldError("model_name", "must name a CGN to generate the images, is empty")

    @property
    def policy(self) -> Policy:
        """The policy that draws the images."""
        return Policy.of(self)


GENERATE_DATASET = Kind(
    "generate_dataset",
    GenerateDatasetConfig,
    run="trainer.datasets.generate:generate_dataset",
    description="Writes a data set of counterfactuals to disk.",
    uses_model=GIVEN_MODEL,
)
