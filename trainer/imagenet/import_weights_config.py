"""Options of the run that makes a model of others' weights."""

from dataclasses import dataclass

from cgn.card import NAME, NAME_HELP
from cgn.datasets import VARIANTS
from trainer.run.kind import Kind
from trainer.run.options import PATH, FieldError, check_options, option

WEIGHTS = CGN, BIGGAN, MNIST = "cgn", "biggan", "mnist"


@dataclass(frozen=True)
class ImportWeightsConfig:
    """Options of `import_weights`; the fields are those of the API's ImportWeightsSpec. Raises FieldError."""

    model_name: str = option(
        "my_import", "name to publish the model under", pattern=NAME, pattern_help=NAME_HELP
    )
    weights: str = option(CGN, "what the file holds", choices=WEIGHTS)
    file: str = option("", "file of the weights", pattern=PATH, pattern_help="a path", empty="refused")
    u2net: str = option(
        "", "file of U²-Net's weights", pattern=PATH, pattern_help="a path", empty="unless weights is biggan"
    )
    dataset: str = option(
        "", "data set that they were trained on", choices=VARIANTS, empty="unless weights is mnist"
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
    description="Makes a model from the authors' public weights.",
    publishes=True,
)
