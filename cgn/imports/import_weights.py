"""Makes a model of weights that the authors publish, or that their code has saved, so that it can be served.

Nothing is downloaded, and nothing in a file is executed. The model's weights are the file's to the bit, in
float32; every tensor is accounted for. Who has no weights yet can try the services with random ones.
"""

import argparse
import hashlib
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from cgn.card import MaskBounds, ModelCard
from cgn.data.digits import TERMS as DIGITS_TERMS
from cgn.data.textures import TERMS as TEXTURES_TERMS
from cgn.datasets import VARIANTS
from cgn.errors import CgnInputError
from cgn.families.imagenet import classes as imagenet_classes
from cgn.families.imagenet.network import ImagenetCGN, ImagenetSizes, random_cgn
from cgn.families.mnist_authors.network import AuthorsMnistCGN
from cgn.imports.authors_weights import AUTHORS_SIZES, assemble_cgn, load_cgn, load_mnist
from cgn.metrics.collapse import ROWS, class_bounds, measure_network, sound_bounds, verdict
from cgn.store import checkpoint, versions
from cgn.store.versions import VersionExists

MODELS_DIR = Path(__file__).resolve().parents[2] / "models"
FAILED, BAD_OPTIONS = 1, 2  # exit codes

DIGITS = sound_bounds(0.04, 0.35)  # of masks, whichever of the three data sets a digit is from
# Of ImageNet's objects little can be said. L_mask holds mean mask values within 0.1 to 0.9 (appendix C.1), or
# nearly so; an even mask has a border mass of 0.34, an inverted one more; edges may be soft.
OBJECTS = MaskBounds(lowest=0.05, highest=0.95, highest_border=0.5, highest_soft=1.0)
NOT_MEASURED = "no masks have been measured: the bounds are wide, and only tell a collapsed mask from another"
RANDOM = "random weights, never trained: its pictures show nothing"
NOT_TRAINED = "the mechanisms are the pretrained BigGAN, not yet trained as a CGN"
IMAGENET_TERMS = "ImageNet (ILSVRC 2012): for non-commercial research and education"


def main(argv: Sequence[str] | None = None, sizes: ImagenetSizes = AUTHORS_SIZES) -> int:
    """Imports what the options say and returns the process's exit code.

    Args:
        argv: the options; by default the process's.
        sizes: of the networks that ImageNet's files hold; whether there is a reference, the file says.
    """
    options = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(options)
    where, training = (
        arguments.models_dir,
        {"command": f"python -m cgn.imports.import_weights {shlex.join(options)}"},
    )

    def tell(line: str) -> None:
        print(line, flush=True)

    try:
        if arguments.kind == "random":
            card = publish_random(where, arguments.name, arguments.version, sizes, training, tell)
        else:
            card = import_model(
                where,
                arguments.kind,
                arguments.file,
                name=f"{arguments.dataset}_authors" if arguments.name is None else arguments.name,
                version=arguments.version,
                u2net=arguments.u2net if arguments.kind == "biggan" else None,
                dataset=arguments.dataset if arguments.kind == "mnist" else "",
                sizes=sizes,
                training=training,
                tell=tell,
            )
    except CgnInputError as error:
        return _fail(error, BAD_OPTIONS)
    except OSError as error:
        return _fail(error, FAILED)
    setting = "" if where.resolve() == MODELS_DIR else f"CGN_MODELS_DIR={shlex.quote(str(where.resolve()))} "
    print(f"published {where / card.name / card.version}, {card.digest}")
    print(f'serve it: {setting}make up; then ask for it: client.generate("{card.name}", ...)')
    print("a generator that already serves this folder notices it by itself")
    return 0


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
    tell: Callable[[str], None],
) -> ModelCard:
    """Publishes the model of a file of weights.

    Args:
        models_dir: to publish to.
        kind: what the file holds: "cgn", "biggan" or "mnist".
        file: of the weights.
        name: of the model.
        version: of the model.
        training: what its card says of how it came to be, besides the files' digests.
        u2net: file of U²-Net's weights; with "biggan".
        dataset: which of VARIANTS the weights were trained on; with "mnist".
        sizes: of the networks that ImageNet's files hold.
        only_while: see checkpoint.publish.
        tell: called with a line for every part of the work.

    Raises:
        CgnInputError: bad options or files.
        OSError: the model cannot be written.
    """
    target = _free(models_dir, name, version)
    files = [file, *([u2net] if u2net else [])]
    if missing := [str(path) for path in files if not path.exists()]:
        where = "docs/imagenet.md has the addresses of public weights"
        raise CgnInputError("weights", f"there is no file {' and none '.join(missing)}; {where}")
    tell(f"reading {' '.join(map(str, files))}")
    network: torch.nn.Module
    if kind == "mnist":
        network = load_mnist(file)
        tell(f"measuring {ROWS} masks of each class")
        fields = mnist_fields(network, dataset)
    elif u2net:
        network = assemble_cgn(file, u2net, sizes)
        fields = imagenet_fields(network, [NOT_TRAINED])
    else:
        network = load_cgn(file, sizes)
        fields = imagenet_fields(network, [])
    for note in fields["notes"]:
        tell(f"note: {note}")
    tell(f"writing {len(network.state_dict()):,} tensors to {target}")
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
    tell: Callable[[str], None],
) -> ModelCard:
    """Publishes an ImageNet CGN of random weights, labelled so in its card; the rest as for import_model."""
    target = _free(models_dir, name, version)
    tell("drawing random weights and calibrating them: at 256 pixels this takes minutes")
    network = random_cgn(sizes)
    tell(f"writing {len(network.state_dict()):,} tensors to {target}")
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


def _free(models_dir: Path, name: str, version: str) -> Path:
    """Where a version goes, if there is none yet: asked before the work, not only after it."""
    target = versions.version_dir(models_dir, name, version)
    if target.exists():
        raise VersionExists("version", f"{target} exists and never changes; give another --version or --name")
    return target


def imagenet_fields(network: ImagenetCGN, notes: Sequence[str]) -> dict[str, Any]:
    """Fields of the card of an ImageNet CGN.

    Args:
        network: of ImageNet's 1,000 classes. Its masks are not measured: that would take a CPU too long.
        notes: that come before the one which says so.
    """
    return {
        "family": "imagenet",
        "architecture": network.sizes.architecture,
        "class_names": imagenet_classes.class_names(),
        "class_ids": imagenet_classes.class_ids(),
        "resolution": network.resolution,
        "latent_size": network.latent,
        "mask_bounds": [OBJECTS] * network.classes,
        "mask_mean": [],
        "mask_border": [],
        "mask_soft": [],
        "notes": [*notes, NOT_MEASURED],
        "terms": [IMAGENET_TERMS],
    }


def mnist_fields(network: AuthorsMnistCGN, dataset: str) -> dict[str, Any]:
    """Fields of the card of an MNIST CGN, whose masks are measured. What is wrong with them is in the notes.

    Args:
        network: in eval mode.
        dataset: which of VARIANTS it was trained on.
    """
    class_names = [str(digit) for digit in range(network.classes)]
    measures = measure_network(network)
    return {
        "family": "mnist_authors",
        "architecture": {},
        "class_names": class_names,
        "resolution": network.resolution,
        "latent_size": network.latent,
        "mask_bounds": [class_bounds(found, DIGITS) for found in measures],
        "mask_mean": [found.mean for found in measures],
        "mask_border": [found.border for found in measures],
        "mask_soft": [found.soft for found in measures],
        "notes": [str(fault) for fault in verdict(class_names, measures, DIGITS)],
        "terms": [DIGITS_TERMS, *([TEXTURES_TERMS] if dataset == "wildlife_mnist" else [])],
    }


def _parser() -> argparse.ArgumentParser:
    where = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    where.add_argument("--version", metavar="TEXT", default="v1", help="of the model (default: %(default)s)")
    where.add_argument(
        "--models-dir",
        type=Path,
        metavar="DIR",
        # An import needs none of the services' other settings: it reads the one that it shares with them.
        default=Path(os.environ.get("CGN_MODELS_DIR") or MODELS_DIR),
        help="where models are (default: CGN_MODELS_DIR, else models/)",
    )
    parser = argparse.ArgumentParser(
        prog="python -m cgn.imports.import_weights", description=__doc__, allow_abbrev=False
    )
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True, title="kinds of weights")

    def add(kind: str, file: str, name: str | None, what: str) -> argparse.ArgumentParser:
        of_kind = kinds.add_parser(kind, parents=[where], help=what, description=what, allow_abbrev=False)
        if file:
            of_kind.add_argument(
                "file", type=Path, metavar="FILE", help=f"{file}, or the same as .safetensors"
            )
        default = name or "<data set>_authors"
        of_kind.add_argument(
            "--name", metavar="TEXT", default=name, help=f"of the model (default: {default})"
        )
        return of_kind

    add("cgn", "cgn.pth", "imagenet", "an ImageNet CGN at 256 pixels, with the unconstrained cGAN or without")
    biggan = add(
        "biggan",
        "the pytorch_model.bin of biggan-deep-256",
        "imagenet_biggan",
        "the ImageNet CGN that training starts from: BigGAN as every mechanism, and U²-Net",
    )
    biggan.add_argument("--u2net", type=Path, metavar="FILE", required=True, help="u2net.pth")
    mnist = add("mnist", "ckp.pth", None, "a CGN of colored, double-colored or Wildlife MNIST")
    mnist.add_argument("--dataset", choices=VARIANTS, required=True, help="that it was trained on")
    add(
        "random",
        "",
        "imagenet_random",
        "no file: an ImageNet CGN of random weights, to try the services with",
    )
    return parser


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"


def _fail(why: object, code: int) -> int:
    print("error:", " ".join(str(why).split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
