"""Inception score (Salimans et al., NeurIPS 2016, section 4), from a classifier's probabilities.

Table 1 of the CGN paper scores composites whose three factors are equal, because only those are on the
manifold of real images. The paper states neither their number nor whether they were split, and the authors'
code has no such score. Reproductions come close to table 1 with 50,000 images in one part, and with 2,000
(Bagad et al., ReScience C 2022). A score depends on the classifier as much as on the images: scores by an
Inception network with 1,000 classes and by a classifier of ten digits are not comparable.
"""

from typing import NamedTuple

import torch

from cgn.errors import CgnInputError


class InceptionScore(NamedTuple):
    """A score over the splits, from 1 (all images look alike to the classifier) to the number of classes."""

    mean: float
    deviation: float  # population standard deviation; 0 for a single split


def inception_score(p_NC: torch.Tensor, splits: int = 1) -> InceptionScore:
    """Returns exp(E_x KL(p(y|x) || p(y))): high if each image clearly shows a class and all classes occur.

    Args:
        p_NC: the classifier's probabilities for each of N images; each row sums to 1.
        splits: number of equal parts of neighbouring images, each with its own p(y); a remainder is left
            out. Few images give a coarse p(y) and a low score, so compare only scores with the same number
            of images per split. Shuffle images that are sorted by class.

    Raises:
        CgnInputError: rows that are not probabilities, or fewer rows than splits.
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
