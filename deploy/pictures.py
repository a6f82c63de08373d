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
COLUMNS = 10  # classes on a sheet, at most
TRAINING_CLASSES = (2, 3, 8)  # shown as they are learnt
TRAINING_STEPS = 8  # of a run's sample sheets, at most
WILDLIFE = "wildlife_mnist"
# What a variant's images are made of besides the digit, by the letters that captions use.
FACTORS = {
    "colored_mnist": {"c": "colour"},
    "double_colored_mnist": {"c": "colour", "b": "background"},
    WILDLIFE: {"t": "texture", "b": "background"},
}
DATA_ROWS = 4  # images of each class and split
ALONE: tuple[tuple[str, Mechanism], ...] = (
    ("masks", "shape"),
    ("foregrounds", "texture"),
    ("backgrounds", "background"),
)
ALONE_ROWS = 4  # noises of each mechanism
# By how much the labels of texture and background are ahead of the shape's, row by row. Texture minus
# background is never 6: those two have one colour in double-colored MNIST, and the digit would not be seen.
AHEAD = ((1, 2), (2, 5), (3, 8), (4, 1), (5, 6), (6, 3), (7, 9), (8, 4))


def data_sheet(variant: str) -> tuple[Image.Image, bool]:
    """Training images of a variant above test images, a column a digit; and whether photographs are in it.

    Raises DataError.
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
    """What each mechanism draws alone: a column a class, a row a noise."""
    classes = model.card.class_names[:COLUMNS]
    rows: list[SheetRow] = []
    for title, mechanism in ALONE:
        for noise in range(ALONE_ROWS):
            images = _draw(model, mechanism, range(len(classes)), noise)
            captions = [f"class {name}" for name in classes] if not rows else []
            rows.append(SheetRow("" if noise else title, images, captions))
    return draw_sheet(f"{model.card.name}: what each mechanism draws, a column a class, a row a noise", rows)


def counterfactual_sheet(model: CGN) -> Image.Image:
    """Counterfactuals: a column a shape's class, textures and backgrounds of other classes, new noises."""
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
    """Rows of one mechanism as pixels; every label and noise has a seed of its own."""
    factors = [Factor(label, seed=1_000 * noise + label) for label in labels]
    return [to_uint8(row.permute(1, 2, 0).numpy()) for row in model.rows(mechanism, factors)]


def training_sheet(run_dir: Path) -> tuple[str, Image.Image]:
    """A run's data set, and what its mechanisms drew of a few classes as training went on.

    The noise is the same in all rows. Raises CgnInputError if the folder is no run with samples.
    """
    try:
        dataset = str(json.loads((run_dir / "config.json").read_text())["dataset"])
    except (OSError, ValueError, KeyError):
        raise CgnInputError(
            "run", f"{run_dir} has no config.json with a dataset; name a run directory"
        ) from None
    found = {int(path.stem.removeprefix("step-")): path for path in run_dir.glob("samples/step-*.npz")}
    if not found:
        raise CgnInputError("run", f"{run_dir} has no samples/step-*.npz; train with a smaller sample_every")
    rows: list[SheetRow] = []
    for step in _spread(sorted(found), TRAINING_STEPS):
        with np.load(found[step], allow_pickle=False) as samples:
            m, f, b = samples["mask"], samples["foreground"], samples["background"]
        shown = [label for label in TRAINING_CLASSES if label < len(m)]
        images = [part for i in shown for part in (m[i], f[i], b[i], compose_uint8(m[i], f[i], b[i]))]
        names = ("mask", "foreground", "background", "composite")
        captions = [] if rows else [f"{i}: {name}" for i in shown for name in names]
        rows.append(SheetRow(f"step {step:,}", images, captions))
    return dataset, draw_sheet(f"{dataset}: the mechanisms over training, the same noise in every row", rows)


def _spread(steps: Sequence[int], count: int) -> list[int]:
    """At most `count` of the sorted steps, the first and the last among them, evenly by their logarithms."""
    if len(steps) <= count:
        return list(steps)
    first, last = math.log(steps[0]), math.log(steps[-1])
    wanted = [first + (last - first) * i / (count - 1) for i in range(count)]
    return sorted({min(steps, key=lambda step: abs(math.log(step) - aim)) for aim in wanted})


def draw_all(out: Path, models_dir: Path, models: Sequence[str], runs: Sequence[Path]) -> Iterator[Path]:
    """Writes the pictures one by one. Raises CgnInputError, OSError."""
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
    """Names each picture as it is written, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=OUTPUT, help="folder to write to (default: docs/images)")
    parser.add_argument("--models-dir", type=Path, help="where models are (default: CGN_MODELS_DIR)")
    parser.add_argument(
        "--models",
        nargs="*",
        default=VARIANTS,
        metavar="NAME",
        help="models to draw (default: the shipped ones)",
    )
    parser.add_argument(
        "--runs", type=Path, nargs="*", default=[], metavar="DIR", help="run directories of CGNs in training"
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
