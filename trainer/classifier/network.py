"""The classifier of the paper's MNIST experiments, and the file of its weights."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from trainer.run.context import RunError

_CLASS_NAMES = "class_names"  # in the file's metadata


class Classifier(nn.Module):
    """The small CNN of "Learning Not to Learn" (Kim et al. 2019), which the paper uses as well.

    Args:
        classes: number of classes.
        resolution: height and width of the images in pixels, a multiple of 4, 8 or more.
    """

    def __init__(self, classes: int, resolution: int = 32) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _NormConvolution(3, 32, 5),
            # Before the ReLU: both commute, and the ReLU then has a quarter of the pixels.
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            # Ignores the last row and column of the map, 8x8 at 32 pixels, as the original does.
            nn.AvgPool2d(resolution // 4 - 1),
            nn.Flatten(),
        )
        self.logits = nn.Linear(64, classes)
        self.to(memory_format=torch.channels_last)  # convolutions are fastest in this layout

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Returns logits (N, classes) of images (N, 3, resolution, resolution) in [-1, 1]."""
        x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)
        logits: torch.Tensor = self.logits(self.features(x_NCHW))
        return logits


class _NormConvolution(nn.Module):
    """A batch norm fused with a convolution: the same function, gradients and parameters at half the cost.

    The scale of the norm is multiplied into the weights of the convolution. Its offset becomes the weights of
    an additional channel, which is 1 everywhere. Without the fusion, the norm's parameters need the gradient
    of every pixel of every image, the most expensive part of a step.
    """

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        norm, convolution = self.norm, self.convolution
        statistics = (norm.running_mean, norm.running_var)
        normal_NCHW = F.batch_norm(
            x_NCHW, *statistics, training=self.training, momentum=norm.momentum or 0.0, eps=norm.eps
        )
        scale, offset = (norm_C[:, None, None] * convolution.weight for norm_C in (norm.weight, norm.bias))
        weight = torch.cat([scale, offset.sum(1, keepdim=True)], dim=1)
        ones = torch.ones_like(normal_NCHW[:, :1])
        with_ones = torch.cat([normal_NCHW, ones], dim=1)
        return F.conv2d(with_ones, weight, convolution.bias, padding=convolution.padding)


def save_classifier(classifier: Classifier, class_names: Sequence[str], path: Path) -> None:
    """Writes the weights and the names of the classes."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in classifier.state_dict().items()}
    save_file(tensors, path, {_CLASS_NAMES: json.dumps(list(class_names))})


def check_classes(path: Path, class_names: Sequence[str]) -> None:
    """Raises RunError if a file of weights names other classes, or has them in another order."""
    try:
        with safe_open(path, framework="pt") as file:
            names = json.loads((file.metadata() or {}).get(_CLASS_NAMES, "null"))
    except (SafetensorError, OSError, ValueError):
        return  # a file without class names
    if names and names != list(class_names):
        pairs = enumerate(itertools.zip_longest(class_names, names))
        label, (here, there) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
        raise RunError(
            f"classifier: {path} has class {there!r} at label {label}, the data set {here!r}; labels follow "
            "the sorted names of the folders, so name them as in training"
        )
