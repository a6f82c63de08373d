"""Makes a model of weights that the authors publish: `python -m trainer.runs.import_weights --help`.

It is `python -m cgn.import_weights` as a run, for a job: the files are where the worker runs.
"""

import sys
from functools import partial

from cgn.authors_weights import AUTHORS_SIZES
from cgn.errors import CgnInputError
from cgn.import_weights import import_model
from cgn.mechanisms.imagenet import ImagenetSizes
from trainer.runs.command import Published, RunError, Surroundings, run_command
from trainer.runs.import_weights_config import ImportWeightsConfig
from trainer.runs.provenance import provenance
from trainer.runs.publish_once import publish_once


def import_weights(
    config: ImportWeightsConfig, surroundings: Surroundings, sizes: ImagenetSizes = AUTHORS_SIZES
) -> Published:
    """Publishes the model of a file of weights; sizes: of the networks that ImageNet's files hold.

    Raises:
        RunError: files that are missing, damaged or of another network, or a version that exists.
    """
    name, version, where = config.model_name, surroundings.version, surroundings.models_dir
    training = provenance("import_weights", config, version)
    make = partial(
        import_model,
        where,
        config.weights,
        surroundings.file(config.file),
        name=name,
        version=version,
        u2net=surroundings.file(config.u2net) if config.u2net else None,
        dataset=config.dataset,
        sizes=sizes,
        only_while=surroundings.run_dir,
        training=training,
        tell=surroundings.reporter.log,
    )
    try:
        return publish_once(surroundings, name, training, make)
    except (CgnInputError, OSError) as error:
        raise RunError(str(error)) from None


if __name__ == "__main__":
    sys.exit(run_command(ImportWeightsConfig, import_weights, "Makes a model of others' weights."))
