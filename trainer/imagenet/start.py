"""Builds the start model of an ImageNet CGN: `python -m trainer start_imagenet --help`.

All three mechanisms start from the weights of an unconstrained cGAN, which stays part of the model. A
saliency network computes the masks (paper section 3.1). So foreground, background and pre-mask of the start
model are the same image. `cgn.imports.import_weights` builds the same at 256 pixels from downloaded weights.
"""

import json
from pathlib import Path
from typing import Any

import torch

from cgn.families.imagenet import NAME
from cgn.families.imagenet.biggan import BigGANSizes
from cgn.families.imagenet.network import ImagenetSizes
from cgn.families.imagenet.u2net import DEPTH
from cgn.imports.authors_weights import assemble_cgn
from cgn.imports.card_fields import NOT_MEASURED, NOT_TRAINED, OBJECTS
from trainer.imagenet import biggan as train_biggan
from trainer.imagenet import saliency as train_saliency
from trainer.imagenet.start_config import StartImagenetConfig
from trainer.run.context import Published, RunContext, RunError
from trainer.run.provenance import provenance
from trainer.run.publish import mask_fields, publish_network


def start_imagenet(config: StartImagenetConfig, context: RunContext) -> Published:
    """Publishes a start model of the ImageNet family, in float32, and returns its version.

    Raises:
        CgnInputError: weights that cannot be read, or that do not have the sizes in the result of their run.
        RunError: a directory without a finished run, or a version that another run has published.
    """
    biggan_dir, saliency_dir = context.file(config.biggan), context.file(config.saliency)
    biggan = _read_result("biggan", biggan_dir / train_biggan.RESULT)
    saliency = _read_result("saliency", saliency_dir / train_saliency.RESULT)
    class_names, resolution = biggan["class_names"], biggan["resolution"]
    widths = {name: biggan["config"][name] for name in ("ch", "z_dim")}
    sizes = ImagenetSizes(
        BigGANSizes.at(resolution, classes=len(class_names), **widths),
        [(saliency["config"]["inner"], saliency["config"]["outer"])] * (2 * DEPTH - 1),
        mend_truncation=True,  # no published images of these weights have to stay the same
    )
    network = assemble_cgn(biggan_dir / train_biggan.WEIGHTS, saliency_dir / train_saliency.WEIGHTS, sizes)
    training = {
        **provenance("start_imagenet", config, context.version),
        "biggan": biggan,
        "saliency": saliency,
    }
    return publish_network(
        context,
        network,
        config.model_name,
        training,
        dtype=torch.float32,
        family=NAME,
        architecture=sizes.architecture,
        class_names=class_names,
        resolution=resolution,
        latent_size=sizes.biggan.z_dim,
        **mask_fields([], OBJECTS, len(class_names)),
        trained=True,
        notes=[NOT_TRAINED, NOT_MEASURED, *biggan["data"]["notes"]],
        terms=biggan["data"]["terms"],
    )


def _read_result(option: str, path: Path) -> dict[str, Any]:
    """Reads the result file of a finished run. Raises RunError if there is none."""
    try:
        result: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise RunError(
            f"{option}: {path.parent} must be the directory of a finished train_{option} ({error})"
        ) from None
    return result
