"""Draws sheets of a published model: `make sheets ARGS="wildlife_mnist"`.

For each class, the output of each mechanism, one column per noise (figures 8 to 19 of the paper).
Counterfactuals of given labels (figure 24 of the paper, figure 7 of its reproduction) and of random labels.
"""

import argparse
import math
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from cgn.errors import CgnInputError
from cgn.images.label_triples import FIGURES_8_TO_19, PRESETS
from cgn.images.model_sheets import Labels, counterfactuals_sheet, mechanisms_sheet
from cgn.labels import parse_class
from cgn.model import CGN
from cgn.noise import MAX_SEED
from cgn.store import checkpoint
from common.settings import REPO, Paths

OUTPUT = REPO / "out" / "sheets"
FEW_CLASSES = 20  # up to so many, all are shown by default
FIGURES_TRUNCATION = 0.5  # of the paper's figures


@contextmanager
def _option(name: str) -> Iterator[None]:
    """Makes errors of an option's value name the option."""
    try:
        yield
    except CgnInputError as error:
        raise CgnInputError(name, error.description) from None
    except OSError as error:
        raise CgnInputError(name, str(error)) from None


def shown_classes(model: CGN, requested: Sequence[str]) -> list[int]:
    """Returns the labels of the requested classes. Without a request: all, or the paper's for ImageNet.

    Raises CgnInputError.
    """
    names = model.card.class_names
    if requested:
        return [parse_class(model.card, text) for text in requested]
    if len(names) <= FEW_CLASSES:
        return list(range(len(names)))
    if missing := [name for name in FIGURES_8_TO_19 if name not in names]:
        raise CgnInputError(
            "classes", f"must name some of the {len(names)} classes, as there is no {missing[0]!r}"
        )
    return [names.index(name) for name in FIGURES_8_TO_19]


def given_triples(model: CGN, text: str) -> tuple[int, list[Labels]]:
    """Returns the columns and the labels of a preset or of "shape,texture,background; ...".

    Raises CgnInputError.
    """
    if text in PRESETS:
        columns, triples = PRESETS[text]
        named: Sequence[Sequence[str]] = triples
    else:
        named = [[name.strip() for name in part.split(",")] for part in text.split(";") if part.strip()]
        if not named or any(len(names) != 3 for names in named):
            known = " or ".join(PRESETS)
            raise CgnInputError(
                "triples", f'must be {known}, or "shape,texture,background; ...", is {text!r}'
            )
        columns = min(5, len(named))
    labels = [tuple(parse_class(model.card, name) for name in names) for names in named]
    return columns, [(s, t, b) for s, t, b in labels]


def draw(model: CGN, arguments: argparse.Namespace) -> Iterator[tuple[str, Image.Image]]:
    """Yields file name and picture of each requested sheet. Raises CgnInputError."""
    card, truncation = model.card, arguments.truncation
    if truncation is None:
        truncation = FIGURES_TRUNCATION if model.network.truncated else 1.0
    if truncation != 1 and not model.network.truncated:
        raise CgnInputError("--truncation", f"models of family {card.family} do not support it; omit it")
    reference = arguments.reference and "reference" in model.network.mechanisms
    seeds = range(arguments.seed, arguments.seed + arguments.noises)
    if not (arguments.triples or arguments.random) or arguments.classes:
        with _option("--classes"):
            labels = shown_classes(model, arguments.classes)
        for label in labels:
            name = re.sub(r"\W+", "_", card.class_names[label])
            yield (
                f"class_{label}_{name}",
                mechanisms_sheet(model, label, seeds, truncation, reference=reference),
            )
    for text in arguments.triples:
        with _option("--triples"):
            columns, triples = given_triples(model, text)
        name = text if text in PRESETS else "given"
        headline = f"counterfactuals, {name} labels"
        sheet = counterfactuals_sheet(model, headline, triples, columns, arguments.seed, truncation)
        yield f"counterfactuals_{name}", sheet
    if arguments.random:
        drawn = np.random.default_rng(arguments.seed).integers(
            len(card.class_names), size=(arguments.random, 3)
        )
        triples = [(int(s), int(t), int(b)) for s, t, b in drawn]
        columns = min(6, math.ceil(math.sqrt(arguments.random)))
        sheet = counterfactuals_sheet(
            model, "counterfactuals, random labels", triples, columns, arguments.seed, truncation
        )
        yield "counterfactuals_random", sheet


def main(argv: Sequence[str] | None = None) -> int:
    """Prints each picture's path when it is written. Returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        name, _, version = arguments.model.partition(":")
        models_dir = arguments.models_dir or Paths.from_env().models_dir
        with _option("model"):
            model = checkpoint.load(models_dir, name, version)
        folder = arguments.out / model.card.name
        with _option("--out"):
            folder.mkdir(parents=True, exist_ok=True)
        for title, sheet in draw(model, arguments):
            with _option("--out"):
                sheet.save(folder / f"{title}.png", optimize=True)
            print(folder / f"{title}.png")
    except CgnInputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make sheets", description=__doc__, allow_abbrev=False)
    parser.add_argument("model", metavar="NAME[:VERSION]", help="published model in CGN_MODELS_DIR")
    parser.add_argument(
        "--classes",
        nargs="*",
        default=[],
        metavar="CLASS",
        help="class names or their beginnings, WordNet IDs, indices (default: all classes of small models, "
        "those of figures 8 to 19 for ImageNet, none with --triples or --random)",
    )
    parser.add_argument("--noises", type=_count, default=8, help="columns per class (default: %(default)s)")
    parser.add_argument(
        "--triples",
        action="append",
        default=[],
        metavar="TEXT",
        help=f'counterfactuals of these labels: {", ".join(PRESETS)}, or "shape,texture,background; ..."',
    )
    parser.add_argument(
        "--random", type=_count, default=0, metavar="N", help="N counterfactuals of random labels"
    )
    parser.add_argument(
        "--truncation",
        type=_truncation,
        help="factor that scales the noise, in (0, 1] (default: 0.5, as in the paper)",
    )
    parser.add_argument(
        "--reference", action="store_true", help="also show the images of the unconstrained cGAN"
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, help="seed of the first noise (default: %(default)s)"
    )
    parser.add_argument("--models-dir", type=Path, help="directory of models (default: CGN_MODELS_DIR)")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="folder to write to (default: out/sheets)")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"must be 1 to 1000, is {text!r}")
    return int(text)


def _truncation(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0, at most 1, is {text!r}")
    return value


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_SEED:
        raise argparse.ArgumentTypeError(f"must be 0 to 2^64 - 1, is {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
