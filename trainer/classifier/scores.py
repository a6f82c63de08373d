"""The scores of a classifier: accuracies on several sets of images that it was not trained on.

The main score is the accuracy on unbiased images, whose colours or textures are independent of the digit
(paper section 4.2, table 2). Choices use validation images only; test images are only reported.
"""

import torch
from torch import nn

from cgn.data import ImageSet, VariantSet, make_variant
from cgn.data.variants import BACKGROUND_PALETTE, OBJECT_PALETTE
from cgn.datasets import FOLDER
from trainer.classifier.data import Images, correlated
from trainer.run.options import DataOptions
from trainer.run.precision import half_precision

_AT_ONCE = 1000  # images in one forward pass

Scores = dict[str, dict[str, float]]


class Examination:
    """The images of a data set that are not for training, and accuracies of classifiers on them, in [0, 1].

    Args:
        config: options that select the data set.
        validation: the originals held out for validation.
    """

    def __init__(self, config: DataOptions, validation: ImageSet) -> None:
        self._config = config
        self._validation = validation.images, validation.labels
        if config.dataset != FOLDER:
            self._unbiased = make_variant(config.dataset, "validation", **correlated(config.dataset, 0))
            self._validation = self._unbiased.images, self._unbiased.labels

    def validation_accuracy(self, classifier: nn.Module) -> float:
        """Returns the accuracy on validation images: unbiased for a variant, held out for a folder."""
        return accuracy(classifier, self._validation)["accuracy"]

    def scores(self, classifier: nn.Module) -> Scores:
        """Returns all accuracies, by set of images and by subset.

        validation, test: unbiased images. The subsets are all images; images where the label of object or
            background agrees with the digit; and the other images. For double-colored there are also the
            images whose object and background have the same colour, and the other images. A folder has only
            validation, its held-out images.
        validation_drifting, test_drifting: the same for double-colored, where the noise of the colours adds
            up from image to image (see `cgn.data.make_variant`).
        in_domain: test images as biased as the training images.
        """
        config = self._config
        if config.dataset == FOLDER:
            return {"validation": accuracy(classifier, self._validation)}
        in_domain = make_variant(config.dataset, "test", **correlated(config.dataset, 100))
        scores: Scores = {"in_domain": accuracy(classifier, (in_domain.images, in_domain.labels))}
        for split in ("validation", "test"):
            for drift in (False, True) if config.dataset == "double_colored_mnist" else (False,):
                images = make_variant(config.dataset, split, drift=drift, **correlated(config.dataset, 0))
                scores[f"{split}_drifting" if drift else split] = _by_subset(classifier, images)
        return scores


def accuracy(classifier: nn.Module, images: Images) -> dict[str, float]:
    """Returns the accuracy on labelled images, in [0, 1], under the key "accuracy"."""
    return {"accuracy": _mean(is_right(classifier, *images))}


@torch.no_grad()
def is_right(classifier: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Returns whether a classifier predicts the label of each of N images, in eval mode: (N,) bool."""
    device = next(classifier.parameters()).device
    training = classifier.training
    classifier.eval()
    with half_precision(device):
        guesses = [classifier(x_NCHW.to(device)).argmax(1).cpu() for x_NCHW in images.split(_AT_ONCE)]
    classifier.train(training)
    return torch.cat(guesses) == labels


def _by_subset(classifier: nn.Module, data: VariantSet) -> dict[str, float]:
    right = is_right(classifier, data.images, data.labels)
    agree = data.object_labels == data.labels
    if data.provenance["variant"] != "colored_mnist":  # its backgrounds are black
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
