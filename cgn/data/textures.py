"""The ten striped (object) and ten veined (background) textures of Wildlife MNIST, one pair per class.

The real textures are photographs of the Describable Textures Dataset (DTD). Without them, numpy draws stripes
and veins instead; notes and provenance then say "procedural".
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cgn.data.procedural import draw_stripes, draw_veins
from cgn.data.source import find, unusable

PROCEDURAL = "procedural"
TERMS = "Describable Textures Dataset, M. Cimpoi et al.: for research"  # terms of the real textures
SIDE = 150
CLASSES = 10

# The DTD images that Wildlife MNIST uses, in the order of their classes.
DTD_OBJECT = tuple(
    f"striped_{number}.jpg"
    for number in ("0001", "0091", "0008", "0043", "0092", "0028", "0097", "0004", "0125", "0033")
)
DTD_BACKGROUND = tuple(
    f"veined_{number}.jpg"
    for number in ("0066", "0067", "0073", "0180", "0131", "0157", "0158", "0104", "0188", "0189")
)


@dataclass(frozen=True)
class Textures:
    """One object texture and one background texture per class: uint8 [10, 150, 150, 3], RGB."""

    source: str  # "CGN_DATA_DIR", "download" or "procedural"
    object: NDArray[np.uint8]
    background: NDArray[np.uint8]


def load_textures() -> Textures:
    """Returns DTD's textures from CGN_DATA_DIR, else from the download of `make data`, else procedural ones.

    Raises DataError if the first of these that exists is unusable; the error names the file and the cure.
    """
    place = find("textures")
    if place is None:
        return Textures(
            PROCEDURAL,
            np.stack([draw_stripes(label, SIDE) for label in range(CLASSES)]),
            np.stack([draw_veins(label, SIDE) for label in range(CLASSES)]),
        )
    source, folder = place
    return Textures(source, _read(source, folder / "object"), _read(source, folder / "background"))


def _read(source: str, folder: Path) -> NDArray[np.uint8]:
    """Reads the ten files <class>_*.jpg of a folder, resized as for the paper (nearest, aspect not kept)."""
    textures = np.empty((CLASSES, SIDE, SIDE, 3), np.uint8)
    for label in range(CLASSES):
        files = sorted(folder.glob(f"{label}_*.jpg"))
        if len(files) != 1:
            raise unusable(
                source, folder / f"{label}_*.jpg", f"is {len(files)} files, class {label} needs one"
            )
        try:
            with Image.open(files[0]) as image:
                resized = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            raise unusable(source, files[0], "is not a whole image") from None
        textures[label] = np.asarray(resized)
    return textures
