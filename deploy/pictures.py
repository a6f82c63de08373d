"""Draws the pictures of the docs: `python -m deploy.pictures`.

Each variant gets a picture of its training and test data (figure 3 of the paper). Each shipped model gets a
picture of its mechanisms and one of its counterfactuals (figure 23). Each run directory that is named gets a
picture of its mechanisms over the training (figure 5). Wildlife MNIST also gets the README's first picture.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cgn.data import VARIANTS, VariantSet, make_variant
from cgn.data.textures import PROCEDURAL
from cgn.errors import CgnInputError
from cgn.factors import Factor
from cgn.images.pixels import compose_uint8, to_uint8
from cgn.images.sheets import SheetRow, draw_sheet
from cgn.model import CGN
from cgn.noise import Mechanism
from cgn.store import checkpoint
from common.settings import REPO, Paths
from deploy import overview_picture

Pixels = NDArray[np.uint8]

OUTPUT = REPO / "docs" / "images"
COLUMNS = 10  # most classes on a sheet
TRAINING_CLASSES = (2, 3, 8)  # shown during training
TRAINING_STEPS = 8  # most steps shown of a run
WILDLIFE = "wildlife_mnist"
# Factors of a variant besides the digit, by the letter in the captions.
FACTORS = {
    "colored_mnist": {"c": "colour"},
    "double_colored_mnist": {"c": "colour", "b": "background"},
    WILDLIFE: {"t": "texture", "b": "background"},
}
DATA_ROWS = 4  # images per class and split
ALONE: tuple[tuple[str, Mechanism], ...] = (
    ("masks", "shape"),
    ("foregrounds", "texture"),
    ("backgrounds", "background"),
)
ALONE_ROWS = 4  # noises per mechanism
# Offsets of the texture's and the background's label from the shape's, by row. Texture minus background is
# never 6: in Double-Colored MNIST both would have the same colour, and the digit would be invisible.
AHEAD = ((1, 2), (2, 5), (3, 8), (4, 1), (5, 6), (6, 3), (7, 9), (8, 4))


def data_sheet(variant: str) -> tuple[Image.Image, bool]:
    """Draws training images of a variant above test images, one column per digit.

    Returns the sheet, and whether it contains photographs. Raises DataError.
    """
    train = make_variant(variant, "train", limit=50 * COLUMNS)
    test = make_variant(variant, "test", limit=50 * COLUMNS)
    photographs = train.provenance.get("textures", PROCEDURAL) != PROCEDURAL
    kind = " with drawn textures in place of photographs" if variant == WILDLIFE and not photographs else ""
    meaning = " and ".join(f"{letter} of the {factor}" for letter, factor in FACTORS[variant].items())
    headline = f"{variant}{kind}   (label {meaning}: the digit's own in training, any in the test)"
    rows = [*_data_rows("training", train), *_data_rows("test", test)]
    return draw_sheet(headline, rows), photographs


def _data_rows(title: str, data: VariantSet) -> Iterator[SheetRow]:
    letters = FACTORS[str(data.provenance["variant"])]
    for row in range(DATA_ROWS):
        chosen = [int((data.labels == label).nonzero()[row]) for label in range(COLUMNS)]
        yield SheetRow(
            title if row == 0 else "",
            [to_uint8(data.images[i].permute(1, 2, 0).numpy()) for i in chosen],
            [_caption(letters, (int(data.object_labels[i]), int(data.background_labels[i]))) for i in chosen],
        )


def _caption(letters: Iterable[str], labels: Iterable[int]) -> str:
    return "  ".join(f"{letter}{label}" for letter, label in zip(letters, labels, strict=False))


def mechanism_sheet(model: CGN) -> Image.Image:
    """Draws each mechanism's output alone: one column per class, one row per noise."""
    classes = model.card.class_names[:COLUMNS]
    rows: list[SheetRow] = []
    for title, mechanism in ALONE:
        for noise in range(ALONE_ROWS):
            images = _draw(model, mechanism, range(len(classes)), noise)
            captions = [f"class {name}" for name in classes] if not rows else []
            rows.append(SheetRow("" if noise else title, images, captions))
    return draw_sheet(f"{model.card.name}: what each mechanism draws, a column a class, a row a noise", rows)


def counterfactual_sheet(model: CGN) -> Image.Image:
    """Draws counterfactuals: one column per shape class; textures and backgrounds of other classes."""
    classes = len(model.card.class_names)
    shapes = range(min(classes, COLUMNS))
    rows = []
    for noise, (texture_ahead, background_ahead) in enumerate(AHEAD):
        textures = [(label + texture_ahead) % classes for label in shapes]
        backgrounds = [(label + background_ahead) % classes for label in shapes]
        parts = zip(
            _draw(model, "shape", shapes, noise),
            _draw(model, "texture", textures, noise),
            _draw(model, "background", backgrounds, noise),
            strict=True,
        )
        labels = zip(shapes, textures, backgrounds, strict=True)
        captions = [_caption("stb", drawn) for drawn in labels]
        images = [compose_uint8(m, f, b) for m, f, b in parts]
        rows.append(SheetRow(f"noise {noise + 1}", images, captions))
    meaning = "s, t, b: labels of shape, texture and background"
    return draw_sheet(f"{model.card.name}: counterfactuals   ({meaning})", rows)


def _draw(model: CGN, mechanism: Mechanism, labels: Sequence[int], noise: int) -> list[Pixels]:
    """Returns rows of one mechanism as pixels; each label and noise has its own seed."""
    factors = [Factor(label, seed=1_000 * noise + label) for label in labels]
    return [to_uint8(row.permute(1, 2, 0).numpy()) for row in model.rows(mechanism, factors)]


def training_sheet(run_dir: Path) -> tuple[str, Image.Image]:
    """Draws samples of a few classes during a run's training, the same noise in every row.

    Returns the data set's name and the sheet. Raises CgnInputError if the folder has no samples.
    """
    try:
        dataset = str(json.loads((run_dir / "config.json").read_text())["dataset"])
    except (OSError, ValueError, KeyError):
        raise CgnInputError(
            "run", f"{run_dir} has no config.json with a dataset; name a run directory"
        ) from None
    sheets = {int(path.stem.removeprefix("step-")): path for path in run_dir.glob("samples/step-*.npz")}
    if not sheets:
        raise CgnInputError("run", f"{run_dir} has no samples/step-*.npz; train with a smaller sample_every")
    rows: list[SheetRow] = []
    for step in _spread(sorted(sheets), TRAINING_STEPS):
        with np.load(sheets[step], allow_pickle=False) as samples:
            m, f, b = samples["mask"], samples["foreground"], samples["background"]
        shown = [label for label in TRAINING_CLASSES if label < len(m)]
        images = [part for i in shown for part in (m[i], f[i], b[i], compose_uint8(m[i], f[i], b[i]))]
        names = ("mask", "foreground", "background", "composite")
        captions = [] if rows else [f"{i}: {name}" for i in shown for name in names]
        rows.append(SheetRow(f"step {step:,}", images, captions))
    return dataset, draw_sheet(f"{dataset}: the mechanisms over training, the same noise in every row", rows)


def _spread(steps: Sequence[int], count: int) -> list[int]:
    """Chooses at most `count` sorted steps, evenly on a logarithmic scale, including first and last."""
    if len(steps) <= count:
        return list(steps)
    first, last = math.log(steps[0]), math.log(steps[-1])
    targets = [first + (last - first) * i / (count - 1) for i in range(count)]
    return sorted({min(steps, key=lambda step: abs(math.log(step) - target)) for target in targets})


def draw_all(out: Path, models_dir: Path, models: Sequence[str], runs: Sequence[Path]) -> Iterator[Path]:
    """Writes the pictures and yields their paths. Raises CgnInputError, OSError."""
    out.mkdir(parents=True, exist_ok=True)

    def write(name: str, sheet: Image.Image) -> Path:
        path = out / f"{name}.png"
        sheet.save(path, optimize=True)
        return path

    for run in runs:
        dataset, sheet = training_sheet(run)
        yield write(f"{dataset}_training", sheet)
    for variant in VARIANTS:
        sheet, photographs = data_sheet(variant)
        if photographs and out.resolve().is_relative_to(REPO / "docs"):
            raise CgnInputError(
                "textures",
                f"photographs that are not ours stay out of {OUTPUT.relative_to(REPO)}; "
                "unset CGN_DATA_DIR and move var/data away, or write elsewhere with --out",
            )
        yield write(f"{variant}_data", sheet)
    for name in models:
        model = checkpoint.load(models_dir, name)
        yield write(f"{name}_mechanisms", mechanism_sheet(model))
        yield write(f"{name}_counterfactuals", counterfactual_sheet(model))
        if name == WILDLIFE:
            overview_picture.save(model, out / overview_picture.NAME)
            yield out / overview_picture.NAME


def main(argv: Sequence[str] | None = None) -> int:
    """Prints each picture's path when it is written. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=OUTPUT, help="folder to write to (default: docs/images)")
    parser.add_argument("--models-dir", type=Path, help="directory of models (default: CGN_MODELS_DIR)")
    parser.add_argument(
        "--models",
        nargs="*",
        default=VARIANTS,
        metavar="NAME",
        help="models to draw (default: the shipped models)",
    )
    parser.add_argument(
        "--runs",
        type=Path,
        nargs="*",
        default=[],
        metavar="DIR",
        help="run directories of train_cgn, for the samples during training",
    )
    arguments = parser.parse_args(argv)
    try:
        models_dir = arguments.models_dir or Paths.from_env().models_dir
        for path in draw_all(arguments.out, models_dir, arguments.models, arguments.runs):
            print(path)
    except (CgnInputError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
