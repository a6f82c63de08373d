"""Trains a classifier on originals, counterfactuals, both, or true interventions (paper section 4.2).

`python -m trainer train_classifier --help` lists the options. A classifier sees the same number of images,
whatever it is trained on, so that the rows of a table are comparable.
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
EPOCH = 50_000  # images seen between two validations, as many as in the authors' training sets
TRAIN_IMAGES = 5000  # images for training accuracy, the last ones seen
HELD_OUT = 2000  # counterfactuals that are scored and not trained on
_STEPS_DRAWN = 16  # steps whose images are drawn together


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
    """Returns accuracies on images that belong to this run.

    train: the last training images.
    held_out_counterfactuals: of rows that training has not seen; only for a folder with a CGN.
    """
    seen = config.steps * config.batch_size
    scores = {"train": accuracy(classifier, data.source.images(max(0, seen - TRAIN_IMAGES), seen))}
    if config.dataset == FOLDER and data.model:
        counterfactuals = data.held_out_counterfactuals(data.model, HELD_OUT)
        scores["held_out_counterfactuals"] = accuracy(classifier, counterfactuals)
    return scores


def learning_rate(config: TrainClassifierConfig, step: int) -> float:
    """Returns the learning rate of a step, which falls linearly to 0 over the run."""
    return config.learning_rate * (1 - step / config.steps)


def batches(source: Source, start: int, config: TrainClassifierConfig) -> Iterator[Images]:
    """Yields the batches from step ``start`` on; the batch of step s starts at image s * batch_size."""
    for first in range(start, config.steps, _STEPS_DRAWN):
        last = min(first + _STEPS_DRAWN, config.steps)
        images, labels = source.images(first * config.batch_size, last * config.batch_size)
        yield from zip(images.split(config.batch_size), labels.split(config.batch_size), strict=True)
