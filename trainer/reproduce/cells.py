"""Which cells there are, and what each of them runs. No torch in here."""

import dataclasses
import fnmatch
import hashlib
import json
from typing import Any

from trainer.classifier.config import TrainClassifierConfig
from trainer.mnist.config import TrainCgnConfig
from trainer.reproduce.imagenet.config import CELLS as IMAGENET_CELLS
from trainer.reproduce.imagenet.config import ImagenetCellConfig
from trainer.reproduce.miniature import rows as miniature
from trainer.reproduce.miniature.config import TEACHER, MiniatureCellConfig
from trainer.reproduce.table2.config import ReproduceCellConfig
from trainer.reproduce.table2.methods import ALL, IDEAS, IDEAS_SEED, IDEAS_VARIANT, METHODS, MODEL, VARIANTS
from trainer.run.options import FieldError

Cell = ReproduceCellConfig | MiniatureCellConfig | ImagenetCellConfig

SEEDS = range(5)  # of every method; cells of other seeds can be made, the table leaves them out


def planned() -> list[Cell]:
    """The cells of the tables, seed by seed, so that all of them are there early; each CGN before its users.

    The ideas come late, ImageNet's miniature last.
    """
    names = [(variant, method, seed) for seed in SEEDS for variant in VARIANTS for method in METHODS]
    names += [(IDEAS_VARIANT, idea, IDEAS_SEED) for idea in IDEAS]
    cells = [
        ReproduceCellConfig(variant=variant, method=method, seed=seed) for variant, method, seed in names
    ]
    return [*cells, *miniature.planned()]


def selected(pattern: str) -> list[Cell]:
    """The planned cells whose names match a pattern with * or ?, or the one cell of a name, of any seed.

    Raises FieldError.
    """
    if is_pattern(pattern):
        if found := [
            cell for cell in [*planned(), *_of_weights(pattern)] if fnmatch.fnmatchcase(cell.key, pattern)
        ]:
            return found
        raise FieldError("CELL", f"matches no cell, is {pattern!r}; they are called like {planned()[0].key}")
    try:
        if pattern.startswith(f"{miniature.PREFIX}/"):
            row, seed = pattern.removeprefix(f"{miniature.PREFIX}/").split("/")
            return [MiniatureCellConfig(row=row, seed=int(seed))]
        if pattern.startswith("imagenet/"):
            what, seed = pattern.removeprefix("imagenet/").rsplit("/", 1)
            return [ImagenetCellConfig(cell=what, seed=int(seed))]
        variant, method, seed = pattern.split("/")
        return [ReproduceCellConfig(variant=variant, method=method, seed=int(seed))]
    except FieldError as error:
        raise FieldError("CELL", f"{pattern!r}: {error}") from None
    except ValueError:
        raise FieldError(
            "CELL",
            f"must be like {planned()[0].key} or {planned()[-1].key}, is {pattern!r}",
        ) from None


def _of_weights(pattern: str) -> list[Cell]:
    """Cells of the paper's ImageNet model, for patterns of nothing else: nobody must have its weights."""
    groups = {name.split("/")[0] for name in IMAGENET_CELLS}
    if not pattern.startswith(tuple(f"imagenet/{group}" for group in groups)):
        return []
    return [ImagenetCellConfig(cell=name) for name in IMAGENET_CELLS]


def is_pattern(text: str) -> bool:
    """Whether this is to name many cells."""
    return any(sign in text for sign in "*?[")


def model_cell(cell: Cell) -> Cell | None:
    """The cell that trains the model which this one needs, if any; it may be the cell itself."""
    if isinstance(cell, MiniatureCellConfig):
        return dataclasses.replace(cell, row=TEACHER)
    if isinstance(cell, ImagenetCellConfig):
        return None
    if cell.method == MODEL:
        return cell
    if ALL[cell.method].uses_cgn and not cell.model_name:
        return dataclasses.replace(cell, method=MODEL)
    return None


def model_of(cell: Cell) -> tuple[str, str]:
    """Name and version of the model that a cell makes or begins from, both empty if none.

    A given one without a version has none yet: it is the newest at the time of the run.
    """
    if trained_by := model_cell(cell):
        version = f"recipe-{digest(trained_by)[:12]}"
        if isinstance(trained_by, MiniatureCellConfig):
            return miniature.start_name(trained_by), version
        assert isinstance(trained_by, ReproduceCellConfig)
        return cgn_config(trained_by).model_name, version
    assert not isinstance(cell, MiniatureCellConfig)
    return cell.model_name, cell.model_version


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
    method = ALL[cell.method]
    return TrainClassifierConfig(
        dataset=VARIANTS[cell.variant],
        model_name=name,
        model_version=version,
        train_on=method.train_on,
        seed=cell.seed,
        **{**method.options, **trial},
    )


def runs(cell: Cell) -> dict[str, dict[str, Any]]:
    """All options of the runs whose outcome a cell is, by run."""
    if isinstance(cell, MiniatureCellConfig):
        found = miniature.teacher_runs(cell)
        if cell.row != TEACHER:
            found["train_imagenet"] = dataclasses.asdict(miniature.cgn_config(cell, model_of(cell)[1]))
        return found
    if isinstance(cell, ImagenetCellConfig):
        return {"imagenet_cell": dataclasses.asdict(cell) | {"weights": ""}}  # wherever they lie
    found = {}
    trained_by = model_cell(cell)
    if isinstance(trained_by, ReproduceCellConfig):
        found["train_cgn"] = dataclasses.asdict(cgn_config(trained_by))
    if cell.method != MODEL:
        found["train_classifier"] = dataclasses.asdict(classifier_config(cell))
    return found


def digest(cell: Cell) -> str:
    """Digest of all options of a cell's runs, 32 hexadecimal digits: another one, another result."""
    text = json.dumps(runs(cell), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def command(cell: Cell) -> str:
    """The line that makes a cell."""
    words = [f"make reproduce CELL={cell.key}"]
    if isinstance(cell, ImagenetCellConfig) and cell.weights:
        words.append(f"WEIGHTS={cell.weights}")
    if not isinstance(cell, MiniatureCellConfig) and cell.model_name:
        words.append(f"MODEL={cell.model_name}:{cell.model_version}")
    if isinstance(cell, ImagenetCellConfig):
        return " ".join(words)
    trial = [f"--steps {cell.steps}"] * bool(cell.steps)
    trial += [f"--images-seen {cell.images_seen}"] * bool(cell.images_seen)
    if trial:
        words.append(f'ARGS="{" ".join(trial)}"')
    return " ".join(words)
