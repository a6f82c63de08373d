"""Which cells there are, and what each of them runs. No torch in here."""

import dataclasses
import fnmatch
import hashlib
import json
from typing import Any

from trainer.reproduce.methods import METHODS, MODEL, VARIANTS
from trainer.runs.config import FieldError
from trainer.runs.reproduce_cell_config import ReproduceCellConfig
from trainer.runs.train_cgn_config import TrainCgnConfig
from trainer.runs.train_classifier_config import TrainClassifierConfig

SEEDS = range(5)  # of every method; cells of other seeds can be made, the table leaves them out


def planned() -> list[ReproduceCellConfig]:
    """The cells of the table, seed by seed, so that all of it is there early; each CGN before its users."""
    return [
        ReproduceCellConfig(variant=variant, method=method, seed=seed)
        for seed in SEEDS
        for variant in VARIANTS
        for method in METHODS
    ]


def selected(pattern: str) -> list[ReproduceCellConfig]:
    """The planned cells whose names match a pattern with * or ?, or the one cell of a name, of any seed.

    Raises FieldError.
    """
    if is_pattern(pattern):
        if found := [cell for cell in planned() if fnmatch.fnmatchcase(cell.key, pattern)]:
            return found
        raise FieldError("CELL", f"matches no cell, is {pattern!r}; they are called like {planned()[0].key}")
    try:
        variant, method, seed = pattern.split("/")
        return [ReproduceCellConfig(variant=variant, method=method, seed=int(seed))]
    except FieldError as error:
        raise FieldError("CELL", f"{pattern!r}: {error}") from None
    except ValueError:
        raise FieldError(
            "CELL", f"must be variant/method/seed like {planned()[0].key}, is {pattern!r}"
        ) from None


def is_pattern(text: str) -> bool:
    """Whether this is to name many cells."""
    return any(sign in text for sign in "*?[")


def model_cell(cell: ReproduceCellConfig) -> ReproduceCellConfig | None:
    """The cell that trains the CGN which this one needs, if any; it may be the cell itself."""
    if cell.method == MODEL:
        return cell
    if METHODS[cell.method].uses_cgn and not cell.model_name:
        return dataclasses.replace(cell, method=MODEL)
    return None


def model_of(cell: ReproduceCellConfig) -> tuple[str, str]:
    """Name and version of the CGN that a cell makes or uses, both empty if none.

    A given one without a version has none yet: it is the newest at the time of the run.
    """
    trained_by = model_cell(cell)
    if trained_by is None:
        return cell.model_name, cell.model_version
    return cgn_config(trained_by).model_name, f"recipe-{digest(trained_by)[:12]}"


def cgn_config(cell: ReproduceCellConfig) -> TrainCgnConfig:
    """The run of a cell that trains a CGN."""
    dataset = VARIANTS[cell.variant]
    # The masks of a trial are no masks yet, and nobody is misled: its version is not the recipe's.
    trial: dict[str, Any] = {"steps": cell.steps, "publish_collapsed": True} if cell.steps else {}
    return TrainCgnConfig(model_name=f"{dataset}-seed{cell.seed}", dataset=dataset, seed=cell.seed, **trial)


def classifier_config(cell: ReproduceCellConfig) -> TrainClassifierConfig:
    """The run of a cell that trains a classifier."""
    name, version = model_of(cell)
    fresh_rows = {"bank_masks": 0, "bank_textures": 0, "bank_backgrounds": 0}  # quicker for a few images
    trial: dict[str, Any] = {"images_seen": cell.images_seen, **fresh_rows} if cell.images_seen else {}
    return TrainClassifierConfig(
        dataset=VARIANTS[cell.variant],
        model_name=name,
        model_version=version,
        train_on=METHODS[cell.method].train_on,
        seed=cell.seed,
        **trial,
    )


def runs(cell: ReproduceCellConfig) -> dict[str, dict[str, Any]]:
    """All options of the runs whose outcome a cell is, by run."""
    found = {}
    if trained_by := model_cell(cell):
        found["train_cgn"] = dataclasses.asdict(cgn_config(trained_by))
    if cell.method != MODEL:
        found["train_classifier"] = dataclasses.asdict(classifier_config(cell))
    return found


def digest(cell: ReproduceCellConfig) -> str:
    """Digest of all options of a cell's runs, 32 hexadecimal digits: another one, another result."""
    text = json.dumps(runs(cell), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def command(cell: ReproduceCellConfig) -> str:
    """The line that makes a cell."""
    words = [f"make reproduce CELL={cell.key}"]
    if cell.model_name:
        words.append(f"MODEL={cell.model_name}:{cell.model_version}")
    trial = [f"--steps {cell.steps}"] * bool(cell.steps)
    trial += [f"--images-seen {cell.images_seen}"] * bool(cell.images_seen)
    if trial:
        words.append(f'ARGS="{" ".join(trial)}"')
    return " ".join(words)
