"""Which cells there are, and how their names select them. No torch in here."""

import fnmatch
from collections.abc import Sequence

from trainer.reproduce.cell.cell import Cell, CellSet
from trainer.reproduce.imagenet.config import CELLS as IMAGENET
from trainer.reproduce.miniature.config import CELLS as MINIATURE
from trainer.reproduce.table2.config import CELLS as TABLE2
from trainer.run.options import FieldError

# The one list to add a table or figure to. Names are matched with the longest prefixes first.
SETS: Sequence[CellSet] = (TABLE2, MINIATURE, IMAGENET)


def planned() -> list[Cell]:
    """Returns the cells that `make reproduce` makes, each model's cell before the cells that use it."""
    return [cell for cells in SETS for cell in cells.planned()]


def selected(name: str) -> list[Cell]:
    """Returns the cells whose names match a pattern with * or ?, or the one cell of a name, of any seed.

    Raises FieldError.
    """
    if is_pattern(name):
        if matching := _matching(planned(), name) or _matching(_on_request(), name):
            return matching
        raise FieldError("CELL", f"matches no cell, is {name!r}; an example is {TABLE2.example}")
    by_length = sorted(SETS, key=lambda cells: len(cells.prefix), reverse=True)
    cells = next(cells for cells in by_length if name.startswith(cells.prefix))
    try:
        return [cells.named(name)]
    except FieldError as error:
        raise FieldError("CELL", f"{name!r}: {error}") from None
    except ValueError:
        examples = " or ".join(cells.example for cells in SETS)
        raise FieldError("CELL", f"must be like {examples}, is {name!r}") from None


def is_pattern(text: str) -> bool:
    """Whether a name has wildcards, and so may select many cells."""
    return any(sign in text for sign in "*?[")


def _matching(cells: Sequence[Cell], pattern: str) -> list[Cell]:
    return [cell for cell in cells if fnmatch.fnmatchcase(cell.key, pattern)]


def _on_request() -> list[Cell]:
    return [cell for cells in SETS for cell in cells.on_request()]
