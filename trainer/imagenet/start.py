"""Puts together what an ImageNet CGN is trained from: `python -m trainer start_imagenet --help`.

All three mechanisms begin as the unconstrained cGAN, which stays beside them, and a saliency network reads
their masks (paper section 3.1). So the start model's foreground, background and pre-mask are one picture. Of
downloaded weights `cgn.imports.import_weights` makes the same at 256 pixels.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cgn.families.imagenet import NAME
from cgn.families.imagenet.biggan import BigGANSizes
from cgn.families.imagenet.network import ImagenetSizes
from cgn.families.imagenet.u2net import DEPTH
from cgn.imports.authors_weights import assemble_cgn
from cgn.imports.import_weights import NOT_MEASURED, NOT_TRAINED, OBJECTS
from cgn.store import checkpoint
from trainer.imagenet import biggan as train_biggan
from trainer.imagenet import saliency as train_saliency
from trainer.imagenet.start_config import StartImagenetConfig
from trainer.run.context import Published, RunContext, RunError
from trainer.run.provenance import provenance
from trainer.run.publish import publish_once


def start_imagenet(config: StartImagenetConfig, context: RunContext) -> Published:
    """Publishes a CGN of the ImageNet family, in float32, and returns its version.

    Raises:
        CgnInputError: weights that cannot be read, or are not of the sizes that their run tells of.
        RunError: a directory without a finished run, or a version that exists.
    """
    biggan, saliency = context.file(config.biggan), context.file(config.saliency)
    drawer = _result("biggan", biggan / train_biggan.RESULT)
    finder = _result("saliency", saliency / train_saliency.RESULT)
    class_names, resolution = drawer["class_names"], drawer["resolution"]
    widths = {name: drawer["config"][name] for name in ("ch", "z_dim")}
    sizes = ImagenetSizes(
        BigGANSizes.at(resolution, classes=len(class_names), **widths),
        [(finder["config"]["inner"], finder["config"]["outer"])] * (2 * DEPTH - 1),
        mend_truncation=True,  # there are no older pictures of these weights that have to stay the same
    )
    network = assemble_cgn(biggan / train_biggan.WEIGHTS, saliency / train_saliency.WEIGHTS, sizes)
    training = {
        **provenance("start_imagenet", config, context.version),
        "biggan": drawer,
        "saliency": finder,
    }
    make = partial(
        checkpoint.publish,
        context.models_dir,
        network,
        dtype=torch.float32,
        only_while=context.run_dir,
        attempt=context.attempt,
        name=config.model_name,
        version=context.version,
        family=NAME,
        architecture=sizes.architecture,
        class_names=class_names,
        resolution=resolution,
        latent_size=sizes.biggan.z_dim,
        mask_bounds=[OBJECTS] * len(class_names),
        mask_mean=[],
        mask_border=[],
        mask_soft=[],
        trained=True,
        training=training,
        notes=[NOT_TRAINED, NOT_MEASURED, *drawer["data"]["notes"]],
        terms=drawer["data"]["terms"],
    )
    return publish_once(context, config.model_name, training, make)


def _result(option: str, path: Path) -> dict[str, Any]:
    """What a finished run tells of itself. Raises RunError."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise RunError(
            f"{option}: {path.parent} must be the directory of a finished train_{option} ({error})"
        ) from None
    return found
