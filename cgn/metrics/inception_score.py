"""Inception score (Salimans et al., NeurIPS 2016, section 4), from a classifier's probabilities.

The CGN paper's table 1 takes it of composites whose three factors are equal: only those are on the manifold
of real images. It says neither how many, nor whether they were split, and the authors' code has no such
score. Reproductions come near table 1 with 50,000 images in one part, and with 2,000 (Bagad et al., ReScience
C 2022). A score is of a classifier as much as of images: one of an Inception network that knows 1,000 classes
and one of a classifier of ten digits have nothing in common.
"""

from typing import NamedTuple

import torch

from cgn.errors import CgnInputError


class InceptionScore(NamedTuple):
    """A score, 1 (all images look like one mixture of classes) to the number of classes; over the splits."""

    mean: float
    deviation: float  # standard deviation with the denominator of a population; 0 of a single split


def inception_score(p_NC: torch.Tensor, splits: int = 1) -> InceptionScore:
    """exp(E_x KL(p(y|x) || p(y))): high where each image is surely of a class, and all classes occur.

    Args:
        p_NC: what the classifier takes each of N images for; rows of probabilities.
        splits: equal parts, of neighbours, each with a p(y) of its own; what remains of a division is left
            out. Of few images p(y) is coarse and the score low: compare scores of the same number to a split
            alone. Shuffle images that come sorted by class.

    Raises:
        CgnInputError: rows that are no probabilities, or fewer of them than splits.
    """
    if p_NC.ndim != 2 or not len(p_NC) >= splits >= 1:
        raise CgnInputError(
            "splits",
            f"{splits} of {tuple(p_NC.shape)} probabilities; give (images, classes), 1 to all images",
        )
    p_NC = p_NC.double()
    if not (p_NC >= 0).all() or not torch.allclose(p_NC.sum(1), p_NC.new_ones(()), atol=1e-4):  # NaN too
        raise CgnInputError("probabilities", "must be 0 or more and sum to 1 for each image; apply softmax")
    part = len(p_NC) // splits
    p_SNC = p_NC[: splits * part].unflatten(0, (splits, part))
    marginal_S1C = p_SNC.mean(1, keepdim=True)
    # xlogy: a class of probability 0 adds nothing.
    divergence_SN = (torch.xlogy(p_SNC, p_SNC) - torch.xlogy(p_SNC, marginal_S1C)).sum(2)
    scores = divergence_SN.mean(1).exp()
    return InceptionScore(float(scores.mean()), float(scores.std(correction=0)))
