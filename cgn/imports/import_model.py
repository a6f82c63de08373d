"""Publishes a model from a file of weights, or from random weights.

Nothing is downloaded, and nothing in a file is executed. The published weights are the file's to the bit, in
float32. Every tensor of the file is accounted for.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cgn.card import ModelCard
from cgn.errors import CgnInputError
from cgn.families.imagenet.network import ImagenetSizes, random_cgn
from cgn.families.network import Network
from cgn.imports.authors_weights import AUTHORS_SIZES, assemble_cgn, load_cgn, load_mnist
from cgn.imports.card_fields import NOT_TRAINED, RANDOM, imagenet_fields, mnist_fields
from cgn.metrics.collapse import ROWS
from cgn.store import checkpoint, versions
from cgn.store.versions import VersionExists


@dataclass(frozen=True)
class Source:
    """Files to import, with what is known about them.

    Attributes:
        file: file of the weights.
        u2net: file of U²-Net's weights; for kind "biggan".
        dataset: the data set the weights were trained on, one of VARIANTS; for kind "mnist".
        sizes: sizes of the networks in ImageNet's files.
        log: called with a line for every part of the work.
    """

    file: Path
    u2net: Path | None
    dataset: str
    sizes: ImagenetSizes
    log: Callable[[str], None]


def _import_imagenet(source: Source) -> tuple[Network, dict[str, Any]]:
    if source.u2net:
        start = assemble_cgn(source.file, source.u2net, source.sizes)
        return start, imagenet_fields(start, [NOT_TRAINED])
    network = load_cgn(source.file, source.sizes)
    return network, imagenet_fields(network, [])


def _import_mnist(source: Source) -> tuple[Network, dict[str, Any]]:
    network = load_mnist(source.file)
    source.log(f"measuring {ROWS} masks of each class")
    return network, mnist_fields(network, source.dataset)


# Kind of file -> a function that returns its network and the model's card fields.
KINDS: Mapping[str, Callable[[Source], tuple[Network, dict[str, Any]]]] = {
    "cgn": _import_imagenet,
    "biggan": _import_imagenet,
    "mnist": _import_mnist,
}


def import_model(
    models_dir: Path,
    kind: str,
    file: Path,
    *,
    name: str,
    version: str,
    training: Mapping[str, Any],
    u2net: Path | None = None,
    dataset: str = "",
    sizes: ImagenetSizes = AUTHORS_SIZES,
    only_while: Path | None = None,
    log: Callable[[str], None],
) -> ModelCard:
    """Publishes the model of a file of weights and returns its card.

    Args:
        models_dir: folder to publish to.
        kind: kind of the file, one of KINDS.
        file, u2net, dataset, sizes, log: see Source.
        name: name of the model.
        version: version of the model.
        training: the card's record of how the model came to be, without the files' digests.
        only_while: see checkpoint.publish.

    Raises:
        CgnInputError: bad options or files.
        OSError: the model cannot be written.
    """
    target = _free_target(models_dir, name, version)
    files = [file, *([u2net] if u2net else [])]
    if missing := [str(path) for path in files if not path.exists()]:
        where = "docs/imagenet.md has the addresses of public weights"
        raise CgnInputError("weights", f"there is no file {' and none '.join(missing)}; {where}")
    log(f"reading {' '.join(map(str, files))}")
    network, fields = KINDS[kind](Source(file, u2net, dataset, sizes, log))
    for note in fields["notes"]:
        log(f"note: {note}")
    log(f"writing {len(network.state_dict()):,} tensors to {target}")
    return checkpoint.publish(
        models_dir,
        network,
        dtype=torch.float32,
        only_while=only_while,
        name=name,
        version=version,
        trained=True,
        training={**training, "imported": {str(path): _sha256(path) for path in files}},
        **fields,
    )


def publish_random(
    models_dir: Path,
    name: str,
    version: str,
    sizes: ImagenetSizes,
    training: Mapping[str, Any],
    log: Callable[[str], None],
) -> ModelCard:
    """Publishes an ImageNet CGN of random weights; its card says so. Other arguments: see import_model."""
    target = _free_target(models_dir, name, version)
    log("drawing random weights and calibrating them: at 256 pixels this takes minutes")
    network = random_cgn(sizes)
    log(f"writing {len(network.state_dict()):,} tensors to {target}")
    return checkpoint.publish(
        models_dir,
        network,
        dtype=torch.float32,
        name=name,
        version=version,
        trained=False,
        training=training,
        **imagenet_fields(network, [RANDOM]),
    )


def _free_target(models_dir: Path, name: str, version: str) -> Path:
    """Returns the folder of a version that does not exist yet; checked before the work starts."""
    target = versions.version_dir(models_dir, name, version)
    if target.exists():
        raise VersionExists("version", f"{target} exists and never changes; give another --version or --name")
    return target


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
