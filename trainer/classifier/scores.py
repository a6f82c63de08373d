"""How good a classifier is: accuracies on images that it was not trained on, each set telling something else.

What counts is accuracy on unbiased images, whose colours or textures say nothing of the digit (paper section
4.2, table 2). Validation images serve to choose, test images only to report.
"""

import torch
from torch import nn

from cgn.data import ImageSet, VariantSet, make_variant
from cgn.data.variants import BACKGROUND_PALETTE, OBJECT_PALETTE
from cgn.datasets import FOLDER
from trainer.classifier.data import Images, correlated
from trainer.run.options import DataOptions
from trainer.run.precision import half_precision

_AT_ONCE = 1000  # images classified together

Scores = dict[str, dict[str, float]]


class Examination:
    """What of a data set nothing is trained on, and accuracies in [0, 1] of classifiers on it."""

    def __init__(self, config: DataOptions, validation: ImageSet) -> None:
        """validation: the images held out of the originals."""
        self._config = config
        self._validation = validation.images, validation.labels
        if config.dataset != FOLDER:
            self._unbiased = make_variant(config.dataset, "validation", **correlated(config.dataset, 0))
            self._validation = self._unbiased.images, self._unbiased.labels

    def validation_accuracy(self, classifier: nn.Module) -> float:
        """Accuracy on the validation images: unbiased ones of a variant, the held out ones of a folder."""
        return accuracy(classifier, self._validation)["accuracy"]

    def scores(self, classifier: nn.Module) -> Scores:
        """All accuracies, by set and by what they are taken of.

        validation, test: unbiased images; of all, of those where the label of object or background agrees
            with the digit, and of the others; for double-colored also of those whose object and background
            have one colour, and of the others. Of a folder there is validation only, its held out images.
        validation_drifting, test_drifting: the same for double-colored with the noise of the paper's time.
        in_domain: test images as biased as those of training.
        """
        config = self._config
        if config.dataset == FOLDER:
            return {"validation": accuracy(classifier, self._validation)}
        in_domain = make_variant(config.dataset, "test", **correlated(config.dataset, 100))
        scores: Scores = {"in_domain": accuracy(classifier, (in_domain.images, in_domain.labels))}
        for split in ("validation", "test"):
            for drift in (False, True) if config.dataset == "double_colored_mnist" else (False,):
                images = make_variant(config.dataset, split, drift=drift, **correlated(config.dataset, 0))
                scores[f"{split}_drifting" if drift else split] = _by_cause(classifier, images)
        return scores


def accuracy(classifier: nn.Module, images: Images) -> dict[str, float]:
    """The accuracy on labelled images, in [0, 1], under its name."""
    return {"accuracy": _mean(is_right(classifier, *images))}


@torch.no_grad()
def is_right(classifier: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Whether a classifier, in eval mode meanwhile, knows each of N images: (N,) bool."""
    device = next(classifier.parameters()).device
    training = classifier.training
    classifier.eval()
    with half_precision(device):
        guesses = [classifier(x_NCHW.to(device)).argmax(1).cpu() for x_NCHW in images.split(_AT_ONCE)]
    classifier.train(training)
    return torch.cat(guesses) == labels


def _by_cause(classifier: nn.Module, data: VariantSet) -> dict[str, float]:
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
