"""Makes a model from weights that the paper's authors publish, so that it can be served.

Nothing is downloaded, and nothing in a file is executed. The model's weights are the file's to the bit, in
float32; every tensor is accounted for. Without weights, try the services with a model of random ones.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from cgn.datasets import VARIANTS
from cgn.errors import CgnInputError
from cgn.families.imagenet.network import ImagenetSizes
from cgn.imports.authors_weights import AUTHORS_SIZES
from cgn.imports.import_model import KINDS, import_model, publish_random

MODELS_DIR = Path(__file__).resolve().parents[2] / "models"
FAILED, BAD_OPTIONS = 1, 2  # exit codes


def main(argv: Sequence[str] | None = None, sizes: ImagenetSizes = AUTHORS_SIZES) -> int:
    """Runs the command and returns the process's exit code.

    Args:
        argv: the options; None: the process's.
        sizes: sizes of the networks in ImageNet's files; the file decides whether there is a reference.
    """
    options = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(options)
    models_dir = arguments.models_dir
    training = {"command": f"python -m cgn.imports.import_weights {shlex.join(options)}"}

    def log(line: str) -> None:
        print(line, flush=True)

    try:
        if arguments.kind in KINDS:
            card = import_model(
                models_dir,
                arguments.kind,
                arguments.file,
                name=f"{arguments.dataset}_authors" if arguments.name is None else arguments.name,
                version=arguments.version,
                u2net=getattr(arguments, "u2net", None),
                dataset=getattr(arguments, "dataset", ""),
                sizes=sizes,
                training=training,
                log=log,
            )
        else:
            card = publish_random(models_dir, arguments.name, arguments.version, sizes, training, log)
    except CgnInputError as error:
        return _fail(error, BAD_OPTIONS)
    except OSError as error:
        return _fail(error, FAILED)
    root = models_dir.resolve()
    setting = "" if root == MODELS_DIR else f"CGN_MODELS_DIR={shlex.quote(str(root))} "
    print(f"published {models_dir / card.name / card.version}, {card.digest}")
    print(f'serve it: {setting}make up; then ask for it: client.generate("{card.name}", ...)')
    print("a generator that already serves this folder notices it by itself")
    return 0


def _parser() -> argparse.ArgumentParser:
    where = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    where.add_argument("--version", metavar="TEXT", default="v1", help="of the model (default: %(default)s)")
    where.add_argument(
        "--models-dir",
        type=Path,
        metavar="DIR",
        # An import needs only this one of the services' settings, so it does not read them all.
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


def _fail(reason: object, code: int) -> int:
    print("error:", " ".join(str(reason).split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
