"""Results as files: one JSON per cell, and what is gathered from them. No torch in here."""

import json
import os
from pathlib import Path
from typing import Any

from trainer.reproduce.cells import Cell, digest, model_cell
from trainer.reproduce.miniature.config import MiniatureCellConfig


def write_json(path: Path, value: object) -> None:
    """Writes a file so that a reader sees the old or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one go."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.rename(path)


class Results:
    """The folder of results, `docs/results` in the repository."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, cell: Cell) -> Path:
        """Where a cell's result is; those of a given CGN have names of their own."""
        path = self.root / "cells" / f"{cell.key}.json"
        if not isinstance(cell, MiniatureCellConfig) and cell.model_name:
            return path.with_name(f"{cell.model_name}@{cell.model_version}-{cell.seed}.json")
        return path

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """A cell's result, whichever options it was made with; None if there is none that can be read."""
        try:
            found = json.loads(self.path(cell).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and found.get("cell") == cell.key else None

    def is_done(self, cell: Cell) -> bool:
        """Whether a cell's result is there, of its present options and of the present CGN of its seed."""
        found = self.read(cell)
        if found is None or found["digest"] != digest(cell):
            return False
        trained_by = model_cell(cell)
        model = self.read(trained_by) if trained_by and trained_by != cell else None
        return model is None or model["model"] == found["model"]

    def write(self, cell: Cell, result: dict[str, Any]) -> None:
        write_json(self.path(cell), result)
