"""Trains a classifier on originals, counterfactuals, both, or true interventions (paper section 4.2).

`python -m trainer train_classifier --help` lists the options. Whatever it trains on, a classifier sees
the same number of images, so that the rows of a table can be compared.
"""

import json
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from cgn.datasets import FOLDER
from cgn.device import resolve_device
from trainer.classifier.config import TrainClassifierConfig
from trainer.classifier.data import Images, Source, TrainingData
from trainer.classifier.network import Classifier, save_classifier
from trainer.classifier.scores import Examination, Scores, accuracy
from trainer.run.context import Published, RunContext
from trainer.run.cost import RunCost
from trainer.run.loop import TrainingLoop
from trainer.run.precision import half_precision
from trainer.run.provenance import provenance

WEIGHTS, SCORES = "classifier.safetensors", "scores.json"
EPOCH = 50_000  # images seen between two looks at the validation images; the authors' sets are that large
TRAIN_IMAGES = 5000  # the last ones seen, of which training accuracy is taken
HELD_OUT = 2000  # counterfactuals that are not for training
_STEPS_DRAWN = 16  # whose images are drawn together


def train_classifier(config: TrainClassifierConfig, context: RunContext) -> Published:
    """Trains, scores on validation and test images, and writes ``scores.json`` and the weights.

    Raises:
        RunError: the data or the model cannot be used, or the loss is not finite.
        Stopped: a stop was requested; a checkpoint is written, unless rows were still being computed.
    """
    reporter, run_dir = context.reporter, context.run_dir
    cost = RunCost()
    device = resolve_device(context.device)
    data = TrainingData(config, context)
    examination = Examination(config, data.validation)

    torch.manual_seed(config.seed)  # for the initial weights
    classifier = Classifier(len(data.validation.class_names), data.validation.resolution).to(device)
    adadelta = torch.optim.Adadelta(classifier.parameters(), config.learning_rate, foreach=True)

    def epoch_ends(done: int) -> bool:
        seen = done * config.batch_size
        return seen // EPOCH > (seen - config.batch_size) // EPOCH

    loop = TrainingLoop(
        config,
        context,
        cost,
        {"classifier": classifier, "adadelta": adadelta},
        steps=config.steps,
        checkpoint_at=lambda done: epoch_ends(done) or done == config.steps,
        lower="learning_rate",
        images_per_step=config.batch_size,
    )
    classifier.train()
    for step, (x_NCHW, label_N) in zip(loop, batches(data.source, loop.start, config), strict=True):
        # One step on the cross-entropy of a batch.
        adadelta.param_groups[0]["lr"] = learning_rate(config, step)
        with half_precision(device):
            logits_NC = classifier(x_NCHW.to(device)).float()
        loss = F.cross_entropy(logits_NC, label_N.to(device))
        adadelta.zero_grad()
        loss.backward()
        adadelta.step()

        loop.report({"cross_entropy": float(loss.detach())})
        if epoch_ends(loop.done):
            validation = examination.validation_accuracy(classifier)
            reporter.log(f"{loop.done * config.batch_size} images seen: validation accuracy {validation:.4f}")

    # Write the weights, and their scores.
    weights = run_dir / WEIGHTS
    save_classifier(classifier, data.validation.class_names, weights)
    reporter.artefact("checkpoint", weights)
    scores = _own_scores(config, data, classifier) | examination.scores(classifier)
    for name, values in scores.items():
        reporter.log(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in values.items()))
    result = {
        "scores": scores,
        "data": data.provenance,
        "class_names": data.validation.class_names,
        "images_seen": config.steps * config.batch_size,
        **cost.summary(),
        **provenance("train_classifier", config, context.version),
    }
    path = run_dir / SCORES
    path.write_text(json.dumps(result, indent=2))
    reporter.artefact("scores", path)
    return Published()


def _own_scores(config: TrainClassifierConfig, data: TrainingData, classifier: Classifier) -> Scores:
    """Accuracies on images of this run's own.

    train: the last images seen.
    held_out_counterfactuals: of a folder's CGN, if one is given; made of rows that training has not seen.
    """
    seen = config.steps * config.batch_size
    scores = {"train": accuracy(classifier, data.source.images(max(0, seen - TRAIN_IMAGES), seen))}
    if config.dataset == FOLDER and data.model:
        made = data.held_out_counterfactuals(data.model, HELD_OUT)
        scores["held_out_counterfactuals"] = accuracy(classifier, made)
    return scores


def learning_rate(config: TrainClassifierConfig, step: int) -> float:
    """The rate of a step: falls evenly to 0, so that a run of any length settles at its end."""
    return config.learning_rate * (1 - step / config.steps)


def batches(source: Source, start: int, config: TrainClassifierConfig) -> Iterator[Images]:
    """The batches of the steps from ``start`` on: step s has the images s * batch_size and following."""
    for first in range(start, config.steps, _STEPS_DRAWN):
        last = min(first + _STEPS_DRAWN, config.steps)
        images, labels = source.images(first * config.batch_size, last * config.batch_size)
        yield from zip(images.split(config.batch_size), labels.split(config.batch_size), strict=True)
