"""Second stage of training a CGN: composites teach a segmenter to see the object in real images.

Real images come without masks. But every composite comes with its mask, and what it shows looks like the real
images of its class: a segmenter that finds the mask of the one finds that of the other. Class labels alone
supervise all of this.
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
from trainer.mnist.stage import StepResult, rate_left
from trainer.run.precision import half_precision

LEARNING_RATE = 4e-3
BETAS = (0.9, 0.99)  # of Adam: an ordinary problem, with momentum
WIDTH = 32
IMAGES_AT_ONCE = 500  # that masks are looked for in


class Segmenter(nn.Module):
    """(x, y) -> where the object is: a small U-Net that knows the class, hence the textures to look for.

    Args:
        classes: how many labels.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        # Nothing runs at full resolution, where convolutions cost most: four neighbouring pixels make one.
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
        """Logits (N, 1, R, R) of the masks of images (N, 3, R, R) in [-1, 1]."""
        near = self.near(x_NCHW)
        bottom = self.bottom(self.far(near) + self.label(label_N)[:, :, None, None])
        logits: torch.Tensor = self.mask(torch.cat([self.enlarge(bottom), near], dim=1))
        return logits


class SegmenterStage:
    """Trains a segmenter on the composites of a finished first stage.

    Args:
        average: the CGN whose composites teach, on the device.
        random: of everything that is drawn.
        steps: of this stage.
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
        set_rate(self._adam, rate_left(done, self.steps) * LEARNING_RATE)
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        return StepResult({"segmentation": loss}, m)

    @torch.no_grad()
    def masks(self) -> torch.Tensor:
        """Masks of the training images, one for each, as the segmenter sees them: bool (N, 1, R, R)."""
        found = []
        for images, labels in zip(
            self._data.images.split(IMAGES_AT_ONCE), self._data.labels.split(IMAGES_AT_ONCE), strict=True
        ):
            with half_precision(self._device):
                logits = self._segmenter(images.to(self._device), labels.to(self._device))
            found.append((logits > 0).cpu())
        return torch.cat(found)
