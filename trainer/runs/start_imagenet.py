"""Puts together what an ImageNet CGN is trained from: `python -m trainer.runs.start_imagenet --help`.

All three mechanisms begin as the unconstrained cGAN, which stays beside them, and a saliency network reads
their masks (paper section 3.1). So the start model's foreground, background and pre-mask are one picture. Of
downloaded weights `cgn.import_weights` makes the same at 256 pixels.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cgn import checkpoint
from cgn.authors_weights import assemble_cgn
from cgn.import_weights import NOT_MEASURED, NOT_TRAINED, OBJECTS
from cgn.mechanisms.biggan import BigGANSizes
from cgn.mechanisms.imagenet import ImagenetSizes
from cgn.mechanisms.u2net import DEPTH
from trainer.runs import train_biggan, train_saliency
from trainer.runs.command import Published, RunError, Surroundings, run_command
from trainer.runs.provenance import provenance
from trainer.runs.publish_once import publish_once
from trainer.runs.start_imagenet_config import StartImagenetConfig


def start_imagenet(config: StartImagenetConfig, surroundings: Surroundings) -> Published:
    """Publishes a CGN of the ImageNet family, in float32, and returns its version.

    Raises:
        CgnInputError: weights that cannot be read, or are not of the sizes that their run tells of.
        RunError: a directory without a finished run, or a version that exists.
    """
    biggan, saliency = surroundings.file(config.biggan), surroundings.file(config.saliency)
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
        **provenance("start_imagenet", config, surroundings.version),
        "biggan": drawer,
        "saliency": finder,
    }
    make = partial(
        checkpoint.publish,
        surroundings.models_dir,
        network,
        dtype=torch.float32,
        only_while=surroundings.run_dir,
        attempt=surroundings.attempt,
        name=config.model_name,
        version=surroundings.version,
        family="imagenet",
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
    return publish_once(surroundings, config.model_name, training, make)


def _result(option: str, path: Path) -> dict[str, Any]:
    """What a finished run tells of itself. Raises RunError."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise RunError(
            f"{option}: {path.parent} must be the directory of a finished train_{option} ({error})"
        ) from None
    return found


if __name__ == "__main__":
    description = "Puts together a BigGAN and a U²-Net as the model that an ImageNet CGN is trained from."
    sys.exit(run_command(StartImagenetConfig, start_imagenet, description))
