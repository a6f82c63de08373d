"""How good a classifier is: accuracies on images that it was not trained on, each set telling something else.

What counts is accuracy on unbiased images, whose colours or textures say nothing of the digit (paper section
4.2, table 2). Validation images serve to choose, test images only to report.
"""

import torch

from cgn.data import VariantSet, make_variant
from cgn.data.variants import BACKGROUND_PALETTE, OBJECT_PALETTE
from cgn.datasets import FOLDER
from trainer.runs.classifier import Classifier
from trainer.runs.precision import half_precision
from trainer.runs.train_classifier_config import TrainClassifierConfig
from trainer.runs.training_data import TrainingData, correlated

TRAIN_IMAGES = 5000  # the last ones seen, of which training accuracy is taken
HELD_OUT = 2000  # counterfactuals that are not for training
_AT_ONCE = 1000  # images classified together

Scores = dict[str, dict[str, float]]


class Examination:
    """The sets of one run, and the accuracies in [0, 1] of its classifier on them."""

    def __init__(self, config: TrainClassifierConfig, data: TrainingData) -> None:
        self._config, self._data = config, data
        self._validation = data.validation.images, data.validation.labels
        if config.dataset != FOLDER:
            self._unbiased = make_variant(config.dataset, "validation", **correlated(config.dataset, 0))
            self._validation = self._unbiased.images, self._unbiased.labels

    def validation_accuracy(self, classifier: Classifier) -> float:
        """Accuracy on the validation images: unbiased ones of a variant, the held out ones of a folder."""
        return _mean(is_right(classifier, *self._validation))

    def scores(self, classifier: Classifier) -> Scores:
        """All accuracies, by set and by what they are taken of.

        validation, test: unbiased images; of all, of those where the label of object or background agrees
            with the digit, and of the others; for double-colored also of those whose object and background
            have one colour, and of the others. Of a folder there is validation only, its held out images.
        validation_drifting, test_drifting: the same for double-colored with the noise of the paper's time.
        in_domain: test images as biased as those of training.
        train: the last images seen.
        held_out_counterfactuals: of a folder's CGN, if one is given; made of rows that training has not seen.
        """
        config = self._config
        seen = config.steps * config.batch_size
        train = self._data.source.images(max(0, seen - TRAIN_IMAGES), seen)
        scores: Scores = {"train": {"accuracy": _mean(is_right(classifier, *train))}}
        if config.dataset == FOLDER:
            scores["validation"] = {"accuracy": self.validation_accuracy(classifier)}
            if model := self._data.model:
                made = self._data.held_out_counterfactuals(model, HELD_OUT)
                scores["held_out_counterfactuals"] = {"accuracy": _mean(is_right(classifier, *made))}
            return scores
        in_domain = make_variant(config.dataset, "test", **correlated(config.dataset, 100))
        scores["in_domain"] = {"accuracy": _mean(is_right(classifier, in_domain.images, in_domain.labels))}
        for split in ("validation", "test"):
            for drift in (False, True) if config.dataset == "double_colored_mnist" else (False,):
                images = make_variant(config.dataset, split, drift=drift, **correlated(config.dataset, 0))
                scores[f"{split}_drifting" if drift else split] = _by_cause(classifier, images)
        return scores


@torch.no_grad()
def is_right(classifier: Classifier, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Whether a classifier, in eval mode meanwhile, knows each of N images: (N,) bool."""
    device = next(classifier.parameters()).device
    training = classifier.training
    classifier.eval()
    with half_precision(device):
        guesses = [classifier(x_NCHW.to(device)).argmax(1).cpu() for x_NCHW in images.split(_AT_ONCE)]
    classifier.train(training)
    return torch.cat(guesses) == labels


def _by_cause(classifier: Classifier, data: VariantSet) -> dict[str, float]:
    right = is_right(classifier, data.images, data.labels)
    agree = data.object_labels == data.labels
    if data.provenance["variant"] != "colored_mnist":  # whose backgrounds are black
        agree = agree | (data.background_labels == data.labels)
    parts = {"a_cue_agrees": agree, "none_agrees": ~agree}
    if data.provenance["variant"] == "double_colored_mnist":
        colours = OBJECT_PALETTE[data.object_labels] == BACKGROUND_PALETTE[data.background_labels]
        equal = torch.from_numpy(colours.all(1))
        parts |= {"colours_are_equal": equal, "colours_differ": ~equal}
    accuracies = {f"accuracy_where_{name}": _mean(right[part]) for name, part in parts.items() if part.any()}
    return {"accuracy": _mean(right), **accuracies}


def _mean(right: torch.Tensor) -> float:
    return int(right.sum()) / len(right)
