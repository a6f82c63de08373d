"""Makes one cell of table 2: `python -m trainer reproduce_cell --help`.

A cell is a CGN of one seed, or a classifier and its scores. `trainer.reproduce.table2.methods` lists the
methods. `make reproduce` makes all cells. The result is ``cell.json`` in the run's directory.
"""

import dataclasses
import json
from typing import Any

from cgn.card import ModelCard
from cgn.data.source import find
from cgn.store import versions
from trainer.classifier.train import train_classifier
from trainer.mnist.train import train_cgn
from trainer.reproduce.cell.files import write_json
from trainer.reproduce.cell.result import write_result
from trainer.reproduce.cell.shared_model import shared_model
from trainer.reproduce.table2.config import ReproduceCellConfig
from trainer.reproduce.table2.methods import MODEL
from trainer.run.context import Published, RunContext, RunError
from trainer.run.cost import RunCost

_COST = "spent.json"  # cost of all attempts at the classifier, in its directory


def reproduce_cell(config: ReproduceCellConfig, context: RunContext) -> Published:
    """Makes a cell and writes its result. Trains and publishes the CGN of its seed if it is missing.

    Raises:
        RunError: the data or the model cannot be used, or a training failed.
        Stopped: a stop was requested; the training in progress has written a checkpoint.
    """
    if not config.trial:
        _check_data(config.variant)
    if config.model_name and not config.model_version:
        newest = versions.newest_version(context.models_dir, config.model_name)
        config = dataclasses.replace(config, model_version=newest)
    name, version = config.model
    card = None
    if config.model_cell:
        card = _trained(config, context)
    elif name:
        card = versions.read_card(context.models_dir, name, version)

    if config.method == MODEL:
        assert card is not None  # it was trained, or it existed
        outcome = _masks(card)
    else:
        outcome = _accuracies(config, context)
    write_result(config, context, card, outcome)
    return Published(name, version) if config.method == MODEL else Published()


def _check_data(variant: str) -> None:
    """Raises RunError unless the data of the paper are available."""
    missing = [folder for folder in ("mnist", "textures") if find(folder) is None]
    if variant != "wildlife":
        missing = [folder for folder in missing if folder != "textures"]
    if missing:
        what = " and ".join(
            {"mnist": "the full MNIST", "textures": "the paper's textures"}[f] for f in missing
        )
        raise RunError(
            f"a cell of {variant} needs {what}: `make data` downloads them, CGN_DATA_DIR points to them; "
            "a trial (steps, images_seen) uses the bundled data"
        )


def _trained(config: ReproduceCellConfig, context: RunContext) -> ModelCard:
    """Returns the card of the CGN of a cell's seed. Trains the CGN if it is missing."""
    trained_by = config.model_cell
    assert trained_by is not None
    name, version = config.model
    options = trained_by.cgn()

    def train() -> None:
        train_cgn(options, context.inside("train_cgn", version, options))

    return shared_model(context, name, version, train)


def _masks(card: ModelCard) -> dict[str, Any]:
    """Returns the mask measures of a CGN by class, each in [0, 1], and the cost of its training."""
    measures = zip(card.class_names, card.mask_mean, card.mask_border, card.mask_soft, strict=True)
    training = card.training
    return {
        "masks": {
            name: {"mean": mean, "border": border, "soft": soft} for name, mean, border, soft in measures
        },
        "restarts": training["restarts"],
        "wall_seconds": training["seconds"],
        "cpu_seconds": training["cpu_seconds"],
        **{name: training[name] for name in ("commit", "machine", "data")},
    }


def _accuracies(config: ReproduceCellConfig, context: RunContext) -> dict[str, Any]:
    """Trains a classifier. Returns its accuracies in per cent, and the cost of all attempts."""
    options = config.classifier()
    inner = context.inside("train_classifier", context.version, options)
    cost_path = inner.run_dir / _COST
    cost = RunCost(**json.loads(cost_path.read_text())) if inner.resume and cost_path.is_file() else RunCost()
    try:
        train_classifier(options, inner)
    finally:
        cost.update()
        write_json(cost_path, dataclasses.asdict(cost))
    scores = json.loads((inner.run_dir / "scores.json").read_text())
    return {
        "scores": {
            images: {name: round(100 * accuracy, 2) for name, accuracy in accuracies.items()}
            for images, accuracies in scores["scores"].items()
        },
        "wall_seconds": round(cost.seconds, 1),
        "cpu_seconds": round(cost.cpu_seconds, 1),
        **{name: scores[name] for name in ("commit", "machine", "data")},
    }
