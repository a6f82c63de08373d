"""Trains an ensemble of classifiers that differ only in their seeds, and scores it.

`python -m trainer train_ensemble --help` lists the options. The ensemble averages the probabilities of its
members, as deep ensembles do (Lakshminarayanan et al., NeurIPS 2017).
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from cgn.data import training_images
from cgn.device import resolve_device
from trainer.classifier.config import TrainClassifierConfig, TrainEnsembleConfig
from trainer.classifier.network import Classifier
from trainer.classifier.scores import Examination
from trainer.classifier.train import SCORES, WEIGHTS, train_classifier
from trainer.run.context import Published, RunContext
from trainer.run.provenance import provenance


class Ensemble(nn.Module):
    """Averages the probabilities of its members."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Returns log probabilities (N, classes) of images (N, 3, resolution, resolution) in [-1, 1]."""
        probabilities = torch.stack([member(x_NCHW).float().softmax(1) for member in self.members])
        return probabilities.mean(0).log()


def train_ensemble(config: TrainEnsembleConfig, context: RunContext) -> Published:
    """Trains the members one after the other, in ``member-<number>/`` each, and writes ``scores.json``.

    Raises:
        RunError: the data or the model cannot be used, or a loss is not finite.
        Stopped: a stop was requested; the member in training has written a checkpoint.
    """
    reporter, run_dir = context.reporter, context.run_dir
    names = [field.name for field in dataclasses.fields(TrainClassifierConfig)]
    options = {name: getattr(config, name) for name in names}
    directories = []
    for number in range(config.members):
        member = TrainClassifierConfig(**{**options, "seed": config.seed + number})
        inner = context.inside(f"member-{number:02d}", context.version, member)
        directories.append(inner.run_dir)
        if inner.resume and (inner.run_dir / SCORES).is_file():
            continue  # an earlier attempt has trained it
        reporter.log(f"member {number + 1} of {config.members}")
        train_classifier(member, inner)

    validation = training_images(
        config.dataset, "validation", folder=config.folder, resolution=config.resolution
    )
    members = [
        _load(path / WEIGHTS, len(validation.class_names), validation.resolution) for path in directories
    ]
    ensemble = Ensemble(members).to(resolve_device(context.device)).eval()
    scores = Examination(config, validation).scores(ensemble)
    for name, values in scores.items():
        reporter.log(f"ensemble, {name}: " + ", ".join(f"{key} {v:.4f}" for key, v in values.items()))
    results = [json.loads((path / SCORES).read_text()) for path in directories]
    result = {
        "scores": scores,
        "members": [member["scores"] for member in results],
        "data": results[0]["data"],
        "class_names": validation.class_names,
        "seconds": round(sum(member["seconds"] for member in results), 1),
        "cpu_seconds": round(sum(member["cpu_seconds"] for member in results), 1),
        **provenance("train_ensemble", config, context.version),
    }
    path = run_dir / SCORES
    path.write_text(json.dumps(result, indent=2))
    reporter.artefact("scores", path)
    return Published()


def _load(path: Path, classes: int, resolution: int) -> Classifier:
    classifier = Classifier(classes, resolution)
    classifier.load_state_dict(load_file(path))
    return classifier
