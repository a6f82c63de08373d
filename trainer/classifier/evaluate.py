"""Scores a classifier on images that it was not trained on.

`python -m trainer evaluate_classifier --help` lists the options, trainer.classifier.scores defines the
scores.
"""

import json

from cgn.card import ModelCard
from cgn.data import DataError, ImageSet, training_images
from cgn.datasets import FOLDER
from cgn.device import resolve_device
from cgn.errors import CgnInputError
from cgn.families.state_dicts import fitted, read_state_dict
from cgn.sampling.banks import Counterfactuals
from cgn.sampling.policy import Policy
from cgn.sampling.sampler import Sampler
from cgn.store import checkpoint, weights
from trainer.classifier.config import EvaluateClassifierConfig
from trainer.classifier.data import Images
from trainer.classifier.network import Classifier, check_classes
from trainer.classifier.scores import Examination, accuracy
from trainer.run.context import Published, RunContext, RunError
from trainer.run.provenance import provenance


def evaluate_classifier(config: EvaluateClassifierConfig, context: RunContext) -> Published:
    """Scores a classifier and writes ``scores.json``, with the scores of train_classifier except `train`.

    For a folder it also has `all`, the accuracy on all images; on a folder without training images this is a
    test accuracy. With a CGN it has `counterfactuals`, the accuracy on counterfactuals with the labels of
    their shapes.

    Raises:
        RunError: the weights, the data or the CGN cannot be used, or do not fit each other.
    """
    validation = _images(config, "validation")
    classes, resolution = len(validation.class_names), validation.resolution
    path = context.file(config.classifier)
    classifier = Classifier(classes, resolution)
    try:
        cure = f"give the weights of train_classifier for {classes} classes at {resolution} pixels"
        classifier.load_state_dict(fitted(read_state_dict(path), classifier.state_dict(), path, cure))
    except CgnInputError as error:
        raise RunError(f"classifier: {error}") from None
    check_classes(path, validation.class_names)
    classifier.to(resolve_device(context.device)).eval()

    scores = Examination(config, validation).scores(classifier)
    counts = {}
    if config.dataset == FOLDER:
        everything = _images(config, "all")
        scores["all"] = accuracy(classifier, (everything.images, everything.labels))
        counts = {"validation": len(validation.labels), "all": len(everything.labels)}
    model = None
    if config.model_name:
        card, images = _counterfactuals(config, context, classes, resolution)
        model = {"name": card.name, "version": card.version, "digest": card.digest}
        scores["counterfactuals"] = accuracy(classifier, images)
    for name, values in scores.items():
        count = f" ({counts[name]} images)" if name in counts else ""
        context.reporter.log(
            f"{name}{count}: " + ", ".join(f"{key} {value:.4f}" for key, value in values.items())
        )
    result = {
        "scores": scores,
        "classifier": {"file": str(path), "digest": weights.digest_tensors(classifier.state_dict())},
        "model": model,
        "data": validation.provenance,
        "class_names": validation.class_names,
        **provenance("evaluate_classifier", config, context.version),
    }
    target = context.run_dir / "scores.json"
    target.write_text(json.dumps(result, indent=2))
    context.reporter.artefact("scores", target)
    return Published()


def _images(config: EvaluateClassifierConfig, split: str) -> ImageSet:
    try:
        return training_images(config.dataset, split, folder=config.folder, resolution=config.resolution)
    except DataError as error:
        raise RunError(f"dataset {config.dataset}: {error}") from None


def _counterfactuals(
    config: EvaluateClassifierConfig, context: RunContext, classes: int, resolution: int
) -> tuple[ModelCard, Images]:
    try:
        model = checkpoint.load(context.models_dir, config.model_name, config.model_version)
    except CgnInputError as error:
        raise RunError(str(error)) from None
    card = model.card
    if (len(card.class_names), card.resolution) != (classes, resolution):
        raise RunError(
            f"model_name: {card.name} has {len(card.class_names)} classes at {card.resolution} pixels, the "
            f"data set {classes} at {resolution}; name a CGN that was trained on this data set"
        )
    sampler = Sampler(config.seed, classes, Policy(config.vary, config.labels))
    return card, Counterfactuals(model, sampler).images(0, config.counterfactuals)
