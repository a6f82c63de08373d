"""Results as files: one JSON per cell. No torch in here."""

import json
from pathlib import Path
from typing import Any

from cgn.store.files import atomic_write
from trainer.reproduce.cell.cell import Cell, digest


def write_json(path: Path, value: object) -> None:
    """Writes a JSON file atomically: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replaces a text file atomically."""
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


class Results:
    """The folder of results, `docs/results` in the repository."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, cell: Cell) -> Path:
        """Returns where the result of a cell is. A cell of a named model has a file of its own."""
        return self.root / "cells" / f"{cell.result_name}.json"

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """Returns the result of a cell, whatever its options were; None without a readable result."""
        try:
            result = json.loads(self.path(cell).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return result if isinstance(result, dict) and result.get("cell") == cell.key else None

    def is_done(self, cell: Cell) -> bool:
        """Whether a result exists for the present options of a cell and the present model of its seed."""
        result = self.read(cell)
        if result is None or result["digest"] != digest(cell):
            return False
        trained_by = cell.model_cell
        model = self.read(trained_by) if trained_by and trained_by != cell else None
        return model is None or model["model"] == result["model"]

    def write(self, cell: Cell, result: dict[str, Any]) -> None:
        write_json(self.path(cell), result)
