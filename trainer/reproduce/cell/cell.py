"""What every cell has in common. No torch in here."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.run.kind import Kind


@dataclass(frozen=True)
class Cell(ABC):
    """One entry of a table, or one figure: the options of the run that makes it.

    The subclasses are frozen dataclasses of options.
    """

    @property
    @abstractmethod
    def key(self) -> str:
        """The cell's name, as in `make reproduce CELL=<key>`. It ends with the seed."""

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """The kind of run that makes the cell."""

    @property
    @abstractmethod
    def model(self) -> tuple[str, str]:
        """Name and version of the model that the cell trains or starts from; both empty for none.

        A model that the user names without a version has no version yet: the run takes the newest.
        """

    @abstractmethod
    def runs(self) -> dict[str, dict[str, Any]]:
        """Returns all options of the runs that determine the result, by name of the run.

        They are `recorded_options`, so that the digests of committed results stay valid.
        """

    @property
    def trial(self) -> bool:
        """Whether the training is cut short. A trial's result enters no table."""
        return False

    @property
    def model_cell(self) -> "Cell | None":
        """The cell that trains the model which this cell needs. It may be the cell itself."""
        return None

    @property
    def group(self) -> str:
        """The method, table row or figure. Cells of one group take about the same time."""
        return self.key.split("/")[-2]

    @property
    def result_name(self) -> str:
        """Path of the result below the results folder, without suffix."""
        return self.key

    def accepts_model(self, *, named: bool) -> bool:
        """Returns whether the cell can use a model that the user names.

        Args:
            named: the user has named this cell. A named cell explains by an error why it takes no model.
        """
        return False

    def variables(self) -> list[str]:
        """Returns the words that follow `make reproduce CELL=<key>` in the command of the cell."""
        return []


def digest(cell: Cell) -> str:
    """Returns the digest of all options of a cell's runs, 32 hexadecimal digits."""
    text = json.dumps(cell.runs(), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def command(cell: Cell) -> str:
    """Returns the command line that makes a cell."""
    return " ".join([f"make reproduce CELL={cell.key}", *cell.variables()])


def trial_variables(steps: int | None, images_seen: int | None) -> list[str]:
    """Returns the word of a command line that cuts trainings short; none for full trainings."""
    options = [f"--steps {steps}"] * bool(steps) + [f"--images-seen {images_seen}"] * bool(images_seen)
    return [f'ARGS="{" ".join(options)}"'] if options else []


@dataclass(frozen=True)
class CellSet:
    """The cells of one table or group of figures.

    Attributes:
        prefix: the beginning of the names of these cells; empty for names without a common beginning.
        example: the name of a cell.
        planned: returns the cells that `make reproduce` makes, each model before its users.
        named: returns the cell of a name; raises ValueError or FieldError if there is none.
        on_request: returns the cells that are made only if a pattern matches nothing else.
    """

    prefix: str
    example: str
    planned: Callable[[], Sequence[Cell]]
    named: Callable[[str], Cell]
    on_request: Callable[[], Sequence[Cell]] = tuple
