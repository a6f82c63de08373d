"""The Inception score and μ_mask of an ImageNet CGN in training (appendix C.3, "Hyperparameter Search").

A run writes them to `scores.json`, a list in the order of steps. An entry has `step`, `images`,
`inception_score`, `mu_mask` and `mu_mask_deviation`. All entries use the same noise.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from cgn.families.imagenet.network import ImagenetCGN
from cgn.families.network import truncated_noise
from cgn.families.state_dicts import fitted, read_state_dict
from cgn.metrics.inception_score import inception_score
from cgn.metrics.masks import coverage, mean_values
from cgn.store.files import atomic_write
from trainer.classifier.network import Classifier
from trainer.imagenet.refinement import Refinement
from trainer.imagenet.step import TRUNCATION

INCEPTION_SIDE = 299  # pixels
_AT_ONCE_PIXELS = 2**18  # pixels of the composites that are drawn and classified together

Classify = Callable[[torch.Tensor], torch.Tensor]  # (N, 3, R, R) in [-1, 1] -> probabilities (N, classes)


def load_classifier(path: Path, classes: int, resolution: int, device: torch.device) -> Classify:
    """Returns the classifier whose weights are in a file.

    Args:
        path: weights that `train_classifier` writes, for the same classes and resolution; or those of
            torchvision's Inception v3 for ImageNet's 1,000 classes.
        classes: number of the CGN's classes.
        resolution: of the CGN's pictures.
        device: the device to classify on.

    Raises:
        CgnInputError: an unreadable file, or weights of another network.
    """
    tensors = read_state_dict(path)
    network: nn.Module
    if "Conv2d_1a_3x3.conv.weight" in tensors:
        from torchvision.models import inception_v3  # type: ignore[import-untyped]  # a worker may lack it

        # The weights of Inception v3 were trained on pictures in [-1, 1], the range used here.
        network = inception_v3(weights=None, init_weights=False, transform_input=False)
        cure = "give torchvision's inception_v3 weights"
    else:
        network = Classifier(classes, resolution)
        cure = f"give the weights of train_classifier for {classes} classes at {resolution} pixels"
    network.load_state_dict(fitted(tensors, network.state_dict(), path, cure))
    network.to(device).eval().requires_grad_(False)
    is_inception = not isinstance(network, Classifier)

    def classify(x_N3HW: torch.Tensor) -> torch.Tensor:
        if is_inception:
            x_N3HW = F.interpolate(x_N3HW, (INCEPTION_SIDE, INCEPTION_SIDE), mode="bilinear", antialias=True)
        probabilities: torch.Tensor = network(x_N3HW).softmax(1)
        return probabilities

    return classify


class Scores:
    """The scores of a run.

    Args:
        run_dir: directory of the run.
        classify: the classifier of the Inception score.
        images: number of composites per score.
        start: steps done when the run resumes; 0: the scores of an earlier run are dropped.
    """

    def __init__(self, run_dir: Path, classify: Classify, images: int, start: int) -> None:
        self.path = run_dir / "scores.json"
        self._classify, self._images = classify, images
        self._entries: list[dict[str, float]] = []
        if start and self.path.exists():
            self._entries = [entry for entry in json.loads(self.path.read_text()) if entry["step"] <= start]

    @property
    def latest(self) -> dict[str, float]:
        """The latest score as a value to report; empty before the first score."""
        return {"inception_score": self._entries[-1]["inception_score"]} if self._entries else {}

    @torch.no_grad()
    def take(self, network: ImagenetCGN, refinement: Refinement | None, step: int) -> None:
        """Scores composites, whose classes take turns, and writes the file."""
        device = next(network.parameters()).device
        random = torch.Generator().manual_seed(2)
        at_once = max(1, _AT_ONCE_PIXELS // network.resolution**2)
        probabilities, means = [], []
        for label_N in (torch.arange(self._images) % network.classes).split(at_once):
            u_NL = truncated_noise(len(label_N), network.latent, random).to(device)
            out = network(u_NL, F.one_hot(label_N, network.classes).to(device, torch.float32), TRUNCATION)
            x_gen = refinement(out.composite) if refinement else out.composite
            probabilities.append(self._classify(x_gen).cpu())
            means.append(mean_values(out.mask)[:, 0].cpu())
        mu_mask = coverage(torch.cat(means))
        entry = {
            "step": step,
            "images": self._images,
            "inception_score": inception_score(torch.cat(probabilities)).mean,
            "mu_mask": mu_mask.mean,
            "mu_mask_deviation": mu_mask.deviation,
        }
        self._entries = [e for e in self._entries if e["step"] < step] + [entry]
        with atomic_write(self.path) as part:
            part.write_text(json.dumps(self._entries, indent=1) + "\n")
