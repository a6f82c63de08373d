"""Makes one cell of ImageNet's miniature: `python -m trainer miniature_cell --help`.

The cell `teacher` of a seed trains four networks: the BigGAN, the saliency network, the classifier and the
    judge of
masks. The first two become the start model of the other cells; the last two score them. Each other cell
trains a CGN, with all losses or without one; see `trainer.reproduce.miniature.config`. The result is
``cell.json`` in the run's directory. ``cell.png`` beside it shows the outputs of the mechanisms during
training.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import save_file

from cgn.card import ModelCard
from cgn.data import DataError
from cgn.device import resolve_device
from cgn.families.imagenet.family import FAMILY
from cgn.families.imagenet.network import Outputs
from cgn.store import checkpoint
from trainer.classifier.train import train_classifier
from trainer.imagenet.biggan import train_biggan
from trainer.imagenet.saliency import train_saliency
from trainer.imagenet.start import start_imagenet
from trainer.imagenet.start_config import StartImagenetConfig
from trainer.imagenet.train import train_imagenet
from trainer.reproduce.cell.cell import digest
from trainer.reproduce.cell.files import write_json
from trainer.reproduce.cell.result import write_result
from trainer.reproduce.cell.shared_model import shared_model
from trainer.reproduce.miniature import config as miniature
from trainer.reproduce.miniature.config import TEACHER, MiniatureCellConfig
from trainer.reproduce.miniature.mask_judge import train_judge
from trainer.reproduce.miniature.scores import ABOUT, CLASSIFIER, IMAGES, JUDGE, load_yardsticks, score
from trainer.run.context import Published, RunContext, RunError
from trainer.run.cost import RunCost
from trainer.run.provenance import current_commit, machine

PICTURE = "cell.png"
IMAGES_OF_A_TRIAL = 20
_PARTS = Outputs._fields


def miniature_cell(config: MiniatureCellConfig, context: RunContext) -> Published:
    """Makes a cell and writes its result. Makes the start model first if it is missing. Publishes the CGN.

    Raises:
        RunError: the data cannot be used, or a training failed.
        Stopped: a stop was requested; the training in progress has written a checkpoint.
    """
    name, version = config.model
    start = shared_model(context, name, version, lambda: _make_start(config, context, version))
    costs: dict[str, dict[str, float]] = {}
    if config.row != TEACHER:
        options = miniature.cgn_config(config, start.version)
        inner = context.inside("train_imagenet", f"recipe-{digest(config)[:12]}", options)
        published = train_imagenet(options, inner)
        name, version = published.model_name, published.model_version

    cost = RunCost()
    network, card = checkpoint.load_trained_of(FAMILY, context.models_dir, name, version)
    device = resolve_device(context.device)
    folder = _yardsticks_folder(context.models_dir, start)
    try:
        yardsticks = load_yardsticks(folder, network.classes, network.resolution, device)
    except DataError as error:
        raise RunError(str(error)) from None
    scores = score(network.to(device).eval(), yardsticks, IMAGES_OF_A_TRIAL if config.trial else IMAGES)
    cost.update()
    about = json.loads((folder / ABOUT).read_text())
    if config.row == TEACHER:
        costs |= about["costs"]
    else:
        costs["train_imagenet"] = _cost(card.training["seconds"], card.training["cpu_seconds"])
    costs["score"] = _cost(cost.seconds, cost.cpu_seconds)
    outcome = {
        "cgn": {"name": card.name, "version": card.version, "digest": card.digest},
        "scores": scores,
        "yardsticks": {name: value for name, value in about.items() if name != "costs"},
        "costs": costs,
        "wall_seconds": round(sum(cost["wall_seconds"] for cost in costs.values()), 1),
        "cpu_seconds": round(sum(cost["cpu_seconds"] for cost in costs.values()), 1),
        "commit": current_commit(),
        "machine": machine(),
        "data": start.training["biggan"]["data"],
    }
    if config.row != TEACHER:
        samples = context.run_dir / "train_imagenet" / "samples"
        outcome["picture"] = _draw(samples, card.class_names, context.run_dir / PICTURE)
        context.reporter.artefact("sample_sheet", context.run_dir / PICTURE)
    write_result(config, context, start, outcome)
    return Published(name, version)


def _yardsticks_folder(models_dir: Path, start: ModelCard) -> Path:
    """Returns the folder of the scoring networks, beside the version of the start model."""
    return models_dir / start.name / f"yardsticks-{start.version}"


def _make_start(config: MiniatureCellConfig, context: RunContext, version: str) -> None:
    """Trains the teacher, the saliency network and the scoring networks, and publishes the start model."""
    name = miniature.start_name(config)
    biggan_options = miniature.teacher_config(config)
    teacher = context.inside("train_biggan", version, biggan_options)
    train_biggan(biggan_options, teacher)
    saliency_options = miniature.saliency_config(config)
    saliency = context.inside("train_saliency", version, saliency_options)
    train_saliency(saliency_options, saliency)
    classifier_options = miniature.classifier_config(config)
    classifier = context.inside("train_classifier", version, classifier_options)
    train_classifier(classifier_options, classifier)
    cost = RunCost()
    judge = train_judge(
        miniature.DATASET,
        resolve_device(context.device),
        steps=miniature.judge_steps(config),
        seed=config.seed,
    )
    cost.update()

    results = {
        run: json.loads((where.run_dir / file).read_text())
        for run, where, file in (
            ("train_biggan", teacher, "biggan.json"),
            ("train_saliency", saliency, "saliency.json"),
            ("train_classifier", classifier, "scores.json"),
        )
    }
    costs = {run: _cost(result["seconds"], result["cpu_seconds"]) for run, result in results.items()}
    about = {
        "judge_iou": round(judge.iou, 4),
        "classifier_test_accuracy": round(results["train_classifier"]["scores"]["test"]["accuracy"], 4),
        "saliency_iou": results["train_saliency"]["iou"],
        "costs": costs | {"mask_judge": _cost(cost.seconds, cost.cpu_seconds)},
    }
    folder = context.models_dir / name / f"yardsticks-{version}"
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)  # left by an attempt that did not publish
    part.mkdir()
    shutil.copy(classifier.run_dir / CLASSIFIER, part)
    tensors = judge.segmenter.cpu().state_dict()
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, part / JUDGE)
    write_json(part / ABOUT, about)
    part.rename(folder)
    paths = StartImagenetConfig(model_name=name, biggan=str(teacher.run_dir), saliency=str(saliency.run_dir))
    start_imagenet(paths, context.inside("start_imagenet", version, paths))


def _cost(seconds: float, cpu_seconds: float) -> dict[str, float]:
    return {"wall_seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1)}


def _draw(samples: Path, class_names: list[str], path: Path) -> dict[str, Any]:
    """Joins the sample sheets of a training into one picture without text. Returns its layout.

    Each column is a step. Each class has rows for the outputs of the mechanisms and their composite. All
    tiles are square, so that a page can cut the picture into tiles again.
    """
    sheets = sorted(samples.glob("step-*.npz"))
    columns, labels = [], []
    for sheet in sheets:
        with np.load(sheet, allow_pickle=False) as arrays:
            labels = arrays["labels"].tolist()
            parts = [np.broadcast_to(arrays[part], (*arrays[part].shape[:3], 3)) for part in _PARTS]
        stacked = np.stack(parts, axis=1)  # class, part, height, width, channel
        columns.append(stacked.reshape(-1, *stacked.shape[3:]))
    Image.fromarray(np.concatenate(columns, axis=1)).save(path, optimize=True)
    return {
        "steps": [int(sheet.stem.removeprefix("step-")) for sheet in sheets],
        "classes": [class_names[label] for label in labels],
        "parts": list(_PARTS),
        "tile": columns[0].shape[1],
    }
