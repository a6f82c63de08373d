"""Options of the run that trains an ImageNet CGN, and the three published settings that they change."""

from dataclasses import asdict, dataclass, fields, replace

from cgn.card import NAME, NAME_HELP, VERSION, VERSION_HELP
from cgn.families import imagenet
from trainer.run.kind import Kind
from trainer.run.options import HIGHEST_COUNT, HIGHEST_SEED, PATH, FieldError, check_options, option

FEATURES = ("random", "vgg16", "vgg16_bn")
LOSSES: dict[str, tuple[str, ...]] = {  # weights in Settings by the ablation of table 1
    "rec": ("weight_l1", "weight_perceptual"),
    "shape": ("weight_binary", "weight_mask"),
    "text": ("weight_text",),
    "bg": ("weight_background",),
}
SUPERVISIONS = ("reconstruction", "discriminator")
TEXTURE_TARGETS = ("patch_grid", "random_fill")
PATCHES_OF = ("composite", "x_gt")

# λ2 and λ5 with random features, the same as λ1: the published weights are for VGG16's features.
RANDOM_FEATURES_WEIGHT = 100.0
THE_PRESETS = "the preset's"
THE_PRESETS_BY_FEATURES = f"{THE_PRESETS}, or {RANDOM_FEATURES_WEIGHT:g} with random features"


@dataclass(frozen=True)
class Settings:
    """The loss and the schedule of a training.

    Attributes:
        weight_l1: λ1 (lambda_1) of equation 4, see `cgn.losses.equation4.TERMS`. A term of weight 0 is not
            computed.
        weight_perceptual: λ2 (lambda_2).
        weight_binary: λ3 (lambda_3).
        weight_mask: λ4 (lambda_4).
        weight_text: λ5 (lambda_5).
        weight_background: λ6 (lambda_6).
        weight_adversarial: weight of the adversarial loss of composites; 0: there is no discriminator.
        lr_shape, lr_texture, lr_background: Adam's learning rates.
        batch_size: pictures of one accumulation step (micro-batch).
        accumulation: accumulation steps of one training step, of each process.
        steps: training steps, each with one update by Adam.
        features: the features whose Gram matrices L_perc and L_text compare, one of FEATURES.
        perceptual_blocks, text_blocks: weights, 0 or 1, of VGG16's first four blocks in L_perc and in L_text.
        patches_of: the picture that the patches of L_text are cut from, one of PATCHES_OF.
        text_halved: whether patches are cut from the picture at half its resolution.
        mask_of_batch: whether L_mask bounds the mean of a batch of masks, or the mean of each mask.
        one_class: whether all pictures of an accumulation step have the same class.
    """

    weight_l1: float
    weight_perceptual: float
    weight_binary: float
    weight_mask: float
    weight_text: float
    weight_background: float
    lr_shape: float
    lr_texture: float
    lr_background: float
    batch_size: int
    accumulation: int
    steps: int
    features: str
    perceptual_blocks: tuple[int, int, int, int]
    text_blocks: tuple[int, int, int, int]
    patches_of: str
    text_halved: bool
    mask_of_batch: bool
    one_class: bool
    weight_adversarial: float = 0.0

    @property
    def weights(self) -> dict[str, float]:
        """The weights by term: λ1 to λ6 in the order of equation 4, then "adversarial"."""
        values = asdict(self).items()
        return {name.removeprefix("weight_"): value for name, value in values if name.startswith("weight_")}


def _vgg(weight: float) -> float:
    """Returns the factor of a Gram distance for a weight w in the authors' code: w² · 5,000."""
    return 5000 * weight**2


_CODE = Settings(
    # The same in the paper (appendix C.3) and in the authors' code.
    weight_l1=100,
    weight_binary=300,
    weight_mask=500,
    weight_background=2000,
    # imagenet/train_cgn.py and config.py: style weights [4, 4, 4, 4] of L_perc, [0, 5, 5, 0] of L_text.
    weight_perceptual=_vgg(4),
    perceptual_blocks=(1, 1, 1, 1),
    weight_text=_vgg(5),
    text_blocks=(0, 1, 1, 0),
    features="vgg16",  # the ReLUs before the first four max-pooling layers
    lr_shape=8e-6,
    lr_texture=3e-5,
    lr_background=1e-5,
    batch_size=1,
    accumulation=4000,
    steps=300,  # the default of the code's command line, which calls them episodes
    patches_of="x_gt",
    text_halved=True,
    mask_of_batch=False,
    one_class=True,
)

PRESETS = {
    # Appendix C, where it differs from the code. λ2 = λ5 = 5 is read as weights w of the code: as factors of
    # Gram distances they would be negligible. The paper does not give the number of steps.
    "paper": replace(
        _CODE,
        weight_perceptual=_vgg(5),
        weight_text=_vgg(5),
        text_blocks=(1, 1, 1, 1),  # "the features after the first four max-pooling layers", in both losses
        features="vgg16_bn",
        lr_texture=1e-5,
        patches_of="composite",  # section 3.1, "Texture Mechanism"
        text_halved=False,
        mask_of_batch=True,
        one_class=False,
    ),
    "code": _CODE,
    # An anonymous reproducibility study (section 3.4.1): the authors' code with its rates and weights, and
    # the largest batch that fits into 24 GB of memory.
    "reproduction": replace(_CODE, batch_size=5, accumulation=500, steps=200),
}


@dataclass(frozen=True)
class TrainImagenetConfig:
    """Options of `train_imagenet`; the fields are those of the API's TrainImagenetSpec. Raises FieldError."""

    model_name: str = option(
        "my_imagenet", "name to publish the model under", pattern=NAME, pattern_help=NAME_HELP
    )
    start_model: str = option(
        "imagenet_biggan",
        "published model of family imagenet to start from; it must include its unconstrained cGAN",
        pattern=NAME,
        pattern_help=NAME_HELP,
    )
    start_version: str = option(
        "", "its version", pattern=VERSION, pattern_help=VERSION_HELP, empty="the newest"
    )
    preset: str = option(
        "code",
        "published set of options; every option that is set replaces the preset's",
        choices=tuple(PRESETS),
    )
    seed: int = option(0, "seed of noise, labels and patches", low=0, high=HIGHEST_SEED)
    steps: int | None = option(
        None, "steps of Adam, which the authors call episodes", low=1, high=HIGHEST_COUNT, absent=THE_PRESETS
    )
    accumulation: int | None = option(
        None,
        "accumulation steps (micro-batches) per step and process",
        low=1,
        high=HIGHEST_COUNT,
        absent=THE_PRESETS,
    )
    batch_size: int | None = option(
        None, "pictures per accumulation step", low=1, high=1024, absent=THE_PRESETS
    )
    lr_shape: float | None = option(
        None, "Adam's learning rate of the shape mechanism", above=0, high=1, absent=THE_PRESETS
    )
    lr_texture: float | None = option(
        None, "Adam's learning rate of the texture mechanism", above=0, high=1, absent=THE_PRESETS
    )
    lr_background: float | None = option(
        None, "Adam's learning rate of the background mechanism", above=0, high=1, absent=THE_PRESETS
    )
    weight_l1: float | None = option(None, "λ1, weight of the L1 distance", low=0, absent=THE_PRESETS)
    weight_perceptual: float | None = option(
        None, "λ2, weight of each layer's Gram distance in L_perc", low=0, absent=THE_PRESETS_BY_FEATURES
    )
    weight_binary: float | None = option(
        None, "λ3, weight of the mask's binary-entropy loss", low=0, absent=THE_PRESETS
    )
    weight_mask: float | None = option(
        None, "λ4, weight of the mask-mean loss L_mask", low=0, absent=THE_PRESETS
    )
    weight_text: float | None = option(
        None, "λ5, weight of each layer's Gram distance in L_text", low=0, absent=THE_PRESETS_BY_FEATURES
    )
    weight_background: float | None = option(
        None, "λ6, weight of the background's saliency", low=0, absent=THE_PRESETS
    )
    mask_lowest: float = option(
        0.1,
        "mean mask value τ below which L_mask is positive; 0.03 in the independent reproduction",
        low=0,
        high=0.5,
    )
    mask_highest: float = option(0.9, "mean mask value 1 - τ above which L_mask is positive", above=0, high=1)
    features: str = option(
        "",
        "features of the perceptual losses: fixed random filters, or those of VGG16",
        choices=FEATURES,
        empty=THE_PRESETS,
    )
    vgg16_weights: str = option(
        "", "file of VGG16's weights", pattern=PATH, pattern_help="a path", empty="in torch's cache"
    )
    without: str = option(
        "", "loss to leave out, for an ablation (table 1)", choices=tuple(LOSSES), empty="none"
    )
    supervision: str = option(
        "reconstruction",
        "what makes composites look real: their distance from x_gt, the cGAN's picture, or a discriminator",
        choices=SUPERVISIONS,
    )
    weight_adversarial: float = option(100.0, "weight of the discriminator's loss", above=0)
    lr_discriminator: float = option(6e-4, "Adam's learning rate of the discriminator", above=0, high=1)
    texture_target: str = option(
        "patch_grid",
        "target of L_text: a grid of the object's patches, or a picture filled with the object",
        choices=TEXTURE_TARGETS,
    )
    patches_of: str = option(
        "", "picture from which patches and fills are cut", choices=PATCHES_OF, empty=THE_PRESETS
    )
    patch_size: int | None = option(
        None,
        "side of a patch, in pixels",
        low=2,
        high=64,
        absent="15 at 256 pixels, in proportion, at least 3",
    )
    patch_by_object: bool = option(False, "scale the patches with the size of the object (appendix F)")
    refine: bool = option(
        False,
        "train a shallow network after the composer as part of the reconstruction (appendix F)",
    )
    classifier: str = option(
        "",
        "weights of the classifier for the Inception score: of train_classifier, or of Inception v3",
        pattern=PATH,
        pattern_help="a path",
        empty="no score",
    )
    score_images: int = option(2000, "composites per score", low=2, high=1_000_000)
    sample_every: int = option(
        10, "steps between sample sheets, and between scores", low=1, high=HIGHEST_COUNT
    )
    checkpoint_every: int = option(10, "steps between checkpoints", low=1, high=HIGHEST_COUNT)
    processes: int = option(
        1, "processes that share the work, each with its own GPU if the run uses GPUs", low=1, high=8
    )

    @property
    def settings(self) -> Settings:
        """The settings of the preset, changed by the options that are not absent."""
        settings = PRESETS[self.preset]
        if self.features == "random":
            settings = replace(
                settings, weight_perceptual=RANDOM_FEATURES_WEIGHT, weight_text=RANDOM_FEATURES_WEIGHT
            )
        options = {field.name: getattr(self, field.name, None) for field in fields(Settings)}
        changes = {name: value for name, value in options.items() if value not in (None, "")}
        unused = LOSSES["rec"] if self.supervision == "discriminator" else ("weight_adversarial",)
        changes |= dict.fromkeys((*unused, *LOSSES.get(self.without, ())), 0.0)
        return replace(settings, **changes)

    def __post_init__(self) -> None:
        check_options(self)
        if self.without == "rec" and self.supervision != "reconstruction":
            allowed = 'must not be "rec" where supervision is "discriminator", which leaves L_rec out itself'
            raise FieldError("without", allowed)
        if self.vgg16_weights and self.settings.features == "random":
            allowed = 'must be empty where features is "random"'
            raise FieldError("vgg16_weights", f"{allowed}, is {self.vgg16_weights!r}")
        if self.mask_lowest >= self.mask_highest:
            allowed = f"must be below mask_highest, {self.mask_highest:g}"
            raise FieldError("mask_lowest", f"{allowed}, is {self.mask_lowest:g}")
        if not any(self.settings.weights.values()):
            raise FieldError("weight_l1", "must be above 0 where the weights of all other losses are 0")
        if self.refine and not self.settings.weight_l1:
            raise FieldError("refine", "must be false without L_rec, from which the network learns")


TRAIN_IMAGENET = Kind(
    "train_imagenet",
    TrainImagenetConfig,
    run="trainer.imagenet.train:train_imagenet",
    description="Trains a CGN of the ImageNet family from a published start model.",
    publishes=True,
    uses_model=("start_model", "start_version"),
    family=imagenet.NAME,
)
