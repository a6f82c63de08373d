"""Makes a cell of the paper's ImageNet model: `python -m trainer imagenet_cell --help`.

The cells are two rows of table 1, and the figures that need a trained model at 256 pixels. The weights are
public but no part of this repository. A cell without weights names the missing files and their sources. The
result is ``cell.json`` in the run's directory; pictures are ``cell-<name>.png`` beside it.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgn.card import CARD_FILE
from cgn.composer import compose
from cgn.device import resolve_device
from cgn.factors import Factor
from cgn.images.label_triples import FIGURES_8_TO_19, FIGURES_20_TO_22, PRESETS
from cgn.images.model_sheets import Labels, counterfactuals_sheet, interpolation_sheet, mechanisms_sheet
from cgn.imports.import_model import import_model
from cgn.labels import parse_class
from cgn.metrics.inception_score import inception_score
from cgn.metrics.masks import coverage, mean_values
from cgn.model import CGN
from cgn.noise import MECHANISMS
from cgn.store import checkpoint
from trainer.classifier.config import FindFailuresConfig
from trainer.classifier.find_failures import PICTURES as FAILURE_PICTURES
from trainer.classifier.find_failures import RESULT as FAILURES_RESULT
from trainer.classifier.find_failures import find_failures
from trainer.imagenet.scores import load_classifier
from trainer.reproduce.cell.cell import command
from trainer.reproduce.cell.result import write_result
from trainer.reproduce.imagenet import config as cells
from trainer.reproduce.imagenet.config import ImagenetCellConfig
from trainer.run.context import Published, RunContext, RunError, Stopped
from trainer.run.cost import RunCost
from trainer.run.provenance import current_commit, machine

CGN_FILE, INCEPTION_FILE = "cgn.pth", "inception_v3.pth"
# Sources of the files that cells need. Nothing is downloaded here.
SOURCES = {
    CGN_FILE: "the authors' weights, by scripts/download_weights.sh of "
    "github.com/autonomousvision/counterfactual_generative_networks",
    INCEPTION_FILE: "torchvision's, https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
}
NAME = "imagenet_authors"
FIGURE_TRUNCATION = 0.5  # appendix D.1
NOISES = 5  # columns of figures 8 to 19
_BATCH = 8  # images that are scored together
_PARTIAL = "scored.npz"  # class probabilities so far


def imagenet_cell(config: ImagenetCellConfig, context: RunContext) -> Published:
    """Makes a cell and writes its result. Publishes the model of cgn.pth if it is missing.

    Raises:
        RunError: weights are missing; the message names the files and their sources.
        CgnInputError: the weights cannot be used, or the model is of another family.
        Stopped: a stop was requested; the scores so far are saved.
    """
    check_weights(config)
    cost = RunCost()
    model = _model(config, context)
    if not model.network.truncated:
        raise RunError(f"the cell needs a model of family imagenet; {model.card.name} is of another")
    if config.cell in cells.TABLE1:
        outcome: dict[str, Any] = {"scores": _scores(config, model, context)}
    elif config.cell == cells.FAILURES:
        outcome = _failures(config, model, context)
    else:
        outcome = {"pictures": _draw(config, model, context.run_dir)}
    cost.update()
    card = model.card
    costs = {
        "wall_seconds": round(cost.seconds, 1),
        "cpu_seconds": round(cost.cpu_seconds, 1),
        "commit": current_commit(),
        "machine": machine(),
    }
    write_result(config, context, card, outcome | costs)
    return Published(card.name, card.version)


def check_weights(config: ImagenetCellConfig) -> None:
    """Raises RunError unless all files that a cell needs exist."""
    needed = [] if config.model_name else [CGN_FILE]
    if config.cell in cells.TABLE1:
        needed.append(INCEPTION_FILE)
    folder = Path(config.weights).expanduser()
    missing = [name for name in needed if not (config.weights and (folder / name).is_file())]
    if missing:
        where = config.weights or "a folder that WEIGHTS names"
        what = "; ".join(f"{name}: {SOURCES[name]}" for name in missing)
        raise RunError(f"the cell needs {' and '.join(missing)} in {where}. {what}")


def _model(config: ImagenetCellConfig, context: RunContext) -> CGN:
    """Returns the CGN of a cell. Imports it from cgn.pth if it is missing."""
    device = resolve_device(context.device)
    if config.model_name:
        return checkpoint.load(context.models_dir, config.model_name, config.model_version, device)
    file = Path(config.weights).expanduser() / CGN_FILE
    with file.open("rb") as opened:
        version = f"file-{hashlib.file_digest(opened, 'sha256').hexdigest()[:12]}"
    if not (context.models_dir / NAME / version / CARD_FILE).is_file():
        import_model(
            context.models_dir,
            "cgn",
            file,
            name=NAME,
            version=version,
            training={"command": command(config)},
            log=context.reporter.log,
        )
    return checkpoint.load(context.models_dir, NAME, version, device)


def _scores(config: ImagenetCellConfig, model: CGN, context: RunContext) -> dict[str, Any]:
    """Returns Inception score and μ_mask of composites whose labels agree, or the score of the cGAN."""
    classes, resolution = len(model.card.class_names), model.card.resolution
    of_cgan = config.cell == cells.BIGGAN
    if of_cgan and "reference" not in model.network.mechanisms:
        raise RunError(f"{model.card.name} has no unconstrained cGAN, but the cell scores the cGAN's images")
    file = Path(config.weights).expanduser() / INCEPTION_FILE
    classify = load_classifier(file, classes, resolution, model.device)
    partial = context.run_dir / _PARTIAL
    probabilities = torch.empty(0, classes)
    means = torch.empty(0)
    if context.resume and partial.is_file():
        with np.load(partial, allow_pickle=False) as arrays:
            probabilities, means = (torch.from_numpy(arrays[name]) for name in ("probabilities", "means"))
    context.reporter.begin(len(probabilities), config.images)
    while (done := len(probabilities)) < config.images:
        numbers = range(done, min(done + _BATCH, config.images))
        factors = [Factor(i % classes, seed=config.seed + i) for i in numbers]
        if of_cgan:
            x = model.rows("reference", factors)
        else:
            m, f, b = (model.rows(mechanism, factors) for mechanism in MECHANISMS)
            x = compose(m[:, :1], f, b)
            means = torch.cat([means, mean_values(m[:, 0])])
        with torch.no_grad():
            probabilities = torch.cat([probabilities, classify(x.to(model.device)).cpu()])
        part = partial.with_suffix(f".{os.getpid()}.npz")
        np.savez(part, probabilities=probabilities.numpy(), means=means.numpy())
        part.rename(partial)
        context.reporter.progress(len(probabilities), {})
        if context.stop.requested and len(probabilities) < config.images:
            raise Stopped
    scores: dict[str, Any] = {
        "images": config.images,
        "inception_score": round(inception_score(probabilities).mean, 3),
    }
    if not of_cgan:
        mu_mask = coverage(means)
        scores |= {"mu_mask": round(mu_mask.mean, 4), "mu_mask_deviation": round(mu_mask.deviation, 4)}
    return scores


def _failures(config: ImagenetCellConfig, model: CGN, context: RunContext) -> dict[str, Any]:
    """Returns the worst classes (figures 30 to 32), and copies a picture of each from the failure report."""
    name, version = model.card.name, model.card.version
    options = FindFailuresConfig(
        model_name=name, model_version=version, causes=config.causes, seed=config.seed
    )
    inner = context.inside("find_failures", context.version, options)
    find_failures(options, inner)
    failures = json.loads((inner.run_dir / FAILURES_RESULT).read_text())
    worst = failures["classes"][: options.shown]
    for place, entry in enumerate(worst):
        picture = inner.run_dir / FAILURE_PICTURES / f"{entry['label']}.png"
        shutil.copyfile(picture, context.run_dir / f"cell-{place:02}_{_word(entry['class'])}.png")
    return {"measures": failures["measures"], "worst": worst}


def _draw(config: ImagenetCellConfig, model: CGN, run_dir: Path) -> list[str]:
    """Writes the sheets of a cell and returns their names."""
    sheets = {}
    if config.cell == cells.CLASSES:
        seeds = range(config.seed, config.seed + NOISES)
        for name in FIGURES_8_TO_19:
            label = parse_class(model.card, name)
            sheets[_word(name)] = mechanisms_sheet(model, label, seeds, FIGURE_TRUNCATION)
    elif config.cell == cells.COUNTERFACTUALS:
        for preset, (columns, triples) in PRESETS.items():
            labels = [_labels(model, triple) for triple in triples]
            headline = f"counterfactuals, {preset} labels"
            sheets[preset] = counterfactuals_sheet(
                model, headline, labels, columns, config.seed, FIGURE_TRUNCATION
            )
    else:
        for mechanism, pairs in FIGURES_20_TO_22.items():
            ends = [tuple(parse_class(model.card, name) for name in pair) for pair in pairs]
            sheets[mechanism] = interpolation_sheet(
                model, mechanism, [(a, b) for a, b in ends], config.seed, FIGURE_TRUNCATION
            )
    for name, sheet in sheets.items():
        sheet.save(run_dir / f"cell-{name}.png", optimize=True)
    return list(sheets)


def _labels(model: CGN, names: Sequence[str]) -> Labels:
    shape, texture, background = (parse_class(model.card, name) for name in names)
    return shape, texture, background


def _word(name: str) -> str:
    return re.sub(r"\W+", "_", name)
