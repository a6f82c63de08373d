"""Makes a model from weights that the authors publish: `python -m trainer import_weights --help`.

It is `python -m cgn.imports.import_weights` as a job. The files lie where the worker runs.
"""

from functools import partial

from cgn.errors import CgnInputError
from cgn.families.imagenet.network import ImagenetSizes
from cgn.imports.authors_weights import AUTHORS_SIZES
from cgn.imports.import_model import import_model
from trainer.imagenet.start_config import ImportWeightsConfig
from trainer.run.context import Published, RunContext, RunError
from trainer.run.provenance import provenance
from trainer.run.publish import publish_once


def import_weights(
    config: ImportWeightsConfig, context: RunContext, sizes: ImagenetSizes = AUTHORS_SIZES
) -> Published:
    """Publishes the model in a file of weights, and returns its version.

    Raises:
        RunError: a file that is missing, damaged or of another network, or a version that exists.
    """
    name, version, where = config.model_name, context.version, context.models_dir
    training = provenance("import_weights", config, version)
    make = partial(
        import_model,
        where,
        config.weights,
        context.file(config.file),
        name=name,
        version=version,
        u2net=context.file(config.u2net) if config.u2net else None,
        dataset=config.dataset,
        sizes=sizes,
        only_while=context.run_dir,
        training=training,
        log=context.reporter.log,
    )
    try:
        return publish_once(context, name, training, make)
    except (CgnInputError, OSError) as error:
        raise RunError(str(error)) from None
