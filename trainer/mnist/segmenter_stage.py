"""The segmenter stage of training a CGN: composites train a segmenter that finds objects in real images.

Real images have no masks, but every composite has its mask and resembles the real images of its class. So a
segmenter that is trained on composites also finds the masks of real images. Class labels are the only
supervision.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from cgn.composer import compose
from cgn.data import ImageSet
from cgn.families.mnist.network import MnistCGN
from trainer.gan.game import set_rate
from trainer.mnist.joint_stage import draw
from trainer.mnist.stage import StepResult, rate_factor
from trainer.run.precision import half_precision

LEARNING_RATE = 4e-3
BETAS = (0.9, 0.99)  # of Adam; with momentum, as this is no adversarial game
WIDTH = 32  # channels of the first feature map
IMAGES_AT_ONCE = 500  # images in one forward pass


class Segmenter(nn.Module):
    """A small U-Net that predicts the mask of an image, given its class.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        # Four pixels are folded into the channels: convolutions at full resolution cost most.
        self.near = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, WIDTH, 3, padding=1), nn.LeakyReLU(0.2))
        self.far = nn.Sequential(nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1), nn.LeakyReLU(0.2))
        self.label = nn.Embedding(classes, 2 * WIDTH)
        self.bottom = nn.Sequential(nn.Conv2d(2 * WIDTH, 2 * WIDTH, 3, padding=1), nn.LeakyReLU(0.2))
        self.enlarge = nn.Upsample(scale_factor=2)
        self.mask = nn.Sequential(
            nn.Conv2d(3 * WIDTH, WIDTH, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(WIDTH, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, x_NCHW: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Returns the mask logits (N, 1, R, R) of images (N, 3, R, R) in [-1, 1] with class indices (N,)."""
        near = self.near(x_NCHW)
        bottom = self.bottom(self.far(near) + self.label(label_N)[:, :, None, None])
        logits: torch.Tensor = self.mask(torch.cat([self.enlarge(bottom), near], dim=1))
        return logits


class SegmenterStage:
    """Trains a segmenter on the composites of the CGN that the joint stage has trained.

    Args:
        data: the training images.
        average: the CGN that generates the composites, on the device.
        batch_size: composites per step.
        random: generator of all random draws.
        steps: steps of this stage.
    """

    title = "a segmenter, by composites"
    step_work = 0.6

    def __init__(
        self, data: ImageSet, average: MnistCGN, batch_size: int, random: torch.Generator, steps: int
    ) -> None:
        self._data, self._average, self._batch_size = data, average, batch_size
        self._random, self.steps = random, steps
        self._device = next(average.parameters()).device
        self._segmenter = Segmenter(average.classes).to(self._device).to(memory_format=torch.channels_last)
        self._adam = torch.optim.Adam(self._segmenter.parameters(), betas=BETAS, fused=True)
        self.parts: dict[str, Any] = {"segmenter": self._segmenter, "adam_segmenter": self._adam}

    def step(self, done: int) -> StepResult:
        """One step on composites; done: steps of this stage so far."""
        chosen = torch.randint(len(self._data.labels), (self._batch_size,), generator=self._random)
        label_N = self._data.labels[chosen].to(self._device)
        with torch.no_grad(), half_precision(self._device):
            m, f, b = (output.float() for output in draw(self._average, label_N, self._random))
            x_gen = compose(m, f, b)
        with half_precision(self._device):
            logits = self._segmenter(x_gen, label_N).float()
        loss = F.binary_cross_entropy_with_logits(logits, (m > 0.5).float())
        set_rate(self._adam, rate_factor(done, self.steps) * LEARNING_RATE)
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        return StepResult({"segmentation": loss}, m)

    @torch.no_grad()
    def masks(self) -> torch.Tensor:
        """Returns the masks that the segmenter predicts for all training images: bool (N, 1, R, R)."""
        masks = []
        for images, labels in zip(
            self._data.images.split(IMAGES_AT_ONCE), self._data.labels.split(IMAGES_AT_ONCE), strict=True
        ):
            with half_precision(self._device):
                logits = self._segmenter(images.to(self._device), labels.to(self._device))
            masks.append((logits > 0).cpu())
        return torch.cat(masks)
