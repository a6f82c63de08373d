"""The judge of masks: a segmenter that was trained with true masks, and locates objects in generated images.

The judge learns from the real images of a variant of MNIST and their true masks. Its masks replace the true
masks that generated images lack (see `cgn.metrics.masks`). No CGN is trained or selected by the judge.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from cgn.data import make_variant
from cgn.metrics.masks import mask_iou
from trainer.gan.game import set_rate
from trainer.mnist.segmenter_stage import BETAS, IMAGES_AT_ONCE, LEARNING_RATE, Segmenter
from trainer.mnist.stage import rate_factor
from trainer.run.precision import half_precision

STEPS = 1000
BATCH_SIZE = 64


@dataclass(frozen=True)
class Judge:
    """A segmenter that was trained with true masks.

    Attributes:
        segmenter: maps an image and its class to a mask; in eval mode.
        iou: mean intersection over union with the true masks of validation images.
    """

    segmenter: Segmenter
    iou: float

    def masks(self, x_N3HW: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Returns masks, bool (N, 1, R, R), of images (N, 3, R, R) in [-1, 1] of known classes."""
        return _masks(self.segmenter, x_N3HW, label_N)


def train_judge(variant: str, device: torch.device, *, steps: int = STEPS, seed: int = 0) -> Judge:
    """Trains a judge for images like those of a variant of MNIST.

    Raises:
        DataError: the data cannot be used.
    """
    data, unseen = make_variant(variant, "train"), make_variant(variant, "validation")
    torch.manual_seed(seed)  # initial weights
    random = torch.Generator().manual_seed(seed)
    segmenter = Segmenter(int(data.labels.max()) + 1).to(device).to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(segmenter.parameters(), betas=BETAS, fused=True)
    for done in range(steps):
        chosen = torch.randint(len(data.labels), (BATCH_SIZE,), generator=random)
        with half_precision(device):
            logits = segmenter(data.images[chosen].to(device), data.labels[chosen].to(device)).float()
        true = data.masks[chosen, None].to(device, torch.float32)
        loss = F.binary_cross_entropy_with_logits(logits, true)
        set_rate(adam, rate_factor(done, steps) * LEARNING_RATE)
        adam.zero_grad()
        loss.backward()
        adam.step()
    segmenter.eval().requires_grad_(False)
    masks = _masks(segmenter, unseen.images, unseen.labels)
    return Judge(segmenter, float(mask_iou(masks, unseen.masks[:, None]).mean()))


@torch.no_grad()
def _masks(segmenter: Segmenter, x_N3HW: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
    device = next(segmenter.parameters()).device
    parts = zip(x_N3HW.split(IMAGES_AT_ONCE), label_N.split(IMAGES_AT_ONCE), strict=True)
    return torch.cat([(segmenter(x.to(device), label.to(device)) > 0).cpu() for x, label in parts])
