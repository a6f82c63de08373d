"""Scores a CGN of ImageNet's miniature by the columns of table 1, and by true masks and textures.

The paper has no true masks or textures for ImageNet. Here a segmenter locates the object
(`trainer.reproduce.miniature.mask_judge`), and the textures of the data set are known
(`cgn.metrics.textures`). A classifier that was trained on every shape with every texture reads the shape of
each counterfactual.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from cgn.composer import compose
from cgn.data import load_textures
from cgn.families.imagenet.network import ImagenetCGN, Outputs
from cgn.families.network import truncated_noise
from cgn.metrics.inception_score import inception_score
from cgn.metrics.masks import coverage, mask_iou, mean_values
from cgn.metrics.textures import texture_error
from trainer.imagenet.scores import Classify, load_classifier
from trainer.imagenet.step import TRUNCATION
from trainer.mnist.segmenter_stage import Segmenter
from trainer.reproduce.miniature.mask_judge import Judge

IMAGES = 2000  # composites that are scored
TEXTURED = 100  # composites that are compared with textures, patch by patch
CLASSIFIER, JUDGE, ABOUT = "classifier.safetensors", "judge.safetensors", "about.json"
_BATCH = 100
_SEED = 3  # of the noise; training takes its scores with another seed


@dataclass(frozen=True)
class Yardsticks:
    """The networks and textures that score the CGNs of one seed.

    Attributes:
        classify: returns probabilities of the digits, by shape.
        judge: locates the object.
        object_C3HW, background_C3HW: textures of each class in [-1, 1].
    """

    classify: Classify
    judge: Judge
    object_C3HW: torch.Tensor
    background_C3HW: torch.Tensor


def load_yardsticks(folder: Path, classes: int, resolution: int, device: torch.device) -> Yardsticks:
    """Loads the scoring networks that a teacher's cell has written to a folder.

    Raises:
        CgnInputError: the weights belong to another network.
        DataError: the textures cannot be read.
    """
    segmenter = Segmenter(classes)
    segmenter.load_state_dict(load_file(folder / JUDGE))
    segmenter.to(device).eval().requires_grad_(False)
    about = json.loads((folder / ABOUT).read_text())
    textures = load_textures()
    object_C3HW, background_C3HW = (
        torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
        for pixels in (textures.object, textures.background)
    )
    classify = load_classifier(folder / CLASSIFIER, classes, resolution, device)
    return Yardsticks(classify, Judge(segmenter, about["judge_iou"]), object_C3HW, background_C3HW)


@torch.no_grad()
def score(network: ImagenetCGN, by: Yardsticks, images: int = IMAGES) -> dict[str, float | None]:
    """Scores a CGN over non-counterfactual composites with fixed noise, classes in turn.

    Returns:
        inception_score.
        mu_mask, mu_mask_deviation: mean of the mask means, and their standard deviation.
        mask_iou: mean intersection over union with the judge's masks of x_gt.
        background_behind, background_beside: `texture_error` of backgrounds against the texture of the
            background, inside and outside the object of x_gt.
        picture_behind: the same error of x_gt inside its object.
        foreground_beside, picture_beside: `texture_error` of foregrounds and of x_gt against the texture of
            the object, outside the object of x_gt.
        counterfactual_accuracy: share of counterfactual composites that the classifier assigns to the class
            of their shape. Texture and background come from other noise and any class.
        An error is None if no image has pixels of its region.
    """
    device = next(network.parameters()).device
    random = torch.Generator().manual_seed(_SEED)
    label_N = torch.arange(images) % network.classes
    parts: list[tuple[torch.Tensor, Outputs]] = []
    for label in label_N.split(_BATCH):
        u_NL = truncated_noise(len(label), network.latent, random).to(device)
        y_NC = F.one_hot(label, network.classes).to(device, torch.float32)
        x_gt = network.biggan_GT(u_NL, y_NC, TRUNCATION).cpu()
        drawn = network(u_NL, y_NC, TRUNCATION)
        parts.append((x_gt, Outputs(*(x.cpu() for x in drawn))))
    x_gt = torch.cat([x for x, _ in parts])
    m, f, b, x_gen = (
        torch.cat([getattr(out, name) for _, out in parts])
        for name in ("mask", "foreground", "background", "composite")
    )
    other, another = (torch.randperm(images, generator=random) for _ in range(2))
    counterfactual = compose(m, f[other], b[another])
    true_N1HW = by.judge.masks(x_gt, label_N)
    mu_mask = coverage(mean_values(m.double())[:, 0])
    few, true_NHW = label_N[:TEXTURED], true_N1HW[:TEXTURED, 0]
    errors = {
        name: float(texture_error(x[:TEXTURED], few, texture, where).nanmean())
        for name, x, texture, where in (
            ("background_behind", b, by.background_C3HW, true_NHW),
            ("background_beside", b, by.background_C3HW, ~true_NHW),
            ("picture_behind", x_gt, by.background_C3HW, true_NHW),
            ("foreground_beside", f, by.object_C3HW, ~true_NHW),
            ("picture_beside", x_gt, by.object_C3HW, ~true_NHW),
        )
    }
    scores = {
        "inception_score": inception_score(_classified(by.classify, x_gen, device)).mean,
        "mu_mask": mu_mask.mean,
        "mu_mask_deviation": mu_mask.deviation,
        "mask_iou": float(mask_iou(m, true_N1HW).mean()),
        **errors,
        "counterfactual_accuracy": float(
            (_classified(by.classify, counterfactual, device).argmax(1) == label_N).double().mean()
        ),
    }
    rounded = {name: None if math.isnan(value) else round(value, 4) for name, value in scores.items()}
    return {"images": images} | rounded


def _classified(classify: Classify, x_N3HW: torch.Tensor, device: torch.device) -> torch.Tensor:
    return torch.cat([classify(x.to(device)).cpu() for x in x_N3HW.split(_BATCH)])
