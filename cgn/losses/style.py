"""Style losses: the distance of two images' textures, wherever in the images the textures lie.

Both losses compare Gram matrices (Gatys et al. 2015), which hold which features occur together but not where.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from cgn.errors import CgnInputError


class StyleLoss(nn.Module):
    """Distance of Gram matrices of one layer of fixed random filters of several sizes.

    A single layer of random filters rivals VGG features for textures (Ustyuzhaninov et al. 2016). It needs no
    download and costs little. Both images of a pair have the same class.
    """

    def __init__(self, sizes: tuple[int, ...] = (3, 5, 7), filters: int = 32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for size in sizes:
            weight = torch.randn(filters, 3, size, size, generator=generator) / (3 * size * size) ** 0.5
            self.register_buffer(f"filters_{size}", weight, persistent=False)

    def forward(self, x_generated: torch.Tensor, x_real: torch.Tensor) -> torch.Tensor:
        """Returns the mean absolute difference of Gram matrices of image pairs (N, 3, H, W) in [-1, 1]."""
        distance = x_generated.new_zeros(())
        for weight in self.buffers():
            g, g_real = _random_gram(x_generated, weight), _random_gram(x_real, weight)
            distance = distance + (g - g_real).abs().mean()
        return distance


def _random_gram(x_NCHW: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    # Every other position is enough, at a quarter of the cost.
    h_NFP = F.relu(F.conv2d(x_NCHW, weight, stride=2)).flatten(2)
    return h_NFP @ h_NFP.transpose(1, 2) / h_NFP.shape[2]


VGG16_FILE = "vgg16-397923af.pth"  # torchvision's name of its ImageNet weights
VGG16_BN_FILE = "vgg16_bn-6c64b313.pth"  # the same for the variant with batch norm
VGG16_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))  # channels of the convolutions

# Weights of the blocks' distances in the authors' code for Wildlife MNIST, whose textures are photographs:
# squares of the code's weights 0.01, 0.05, 0 and 0.01, times 5,000.
VGG16_BLOCK_WEIGHTS = (0.5, 12.5, 0.0, 0.5)

_COUNTER = "num_batches_tracked"  # of batch norm; does not affect features, and old files lack it


class Vgg16StyleLoss(nn.Module):
    """Distance of Gram matrices of layers of a VGG16 trained on ImageNet (Johnson et al. 2016).

    The layers are relu1_2, relu2_2, relu3_3 and relu4_3. A Gram matrix is divided by the channels, height and
    width of its layer. As in the authors' code, images enter in [-1, 1], without ImageNet's mean and standard
    deviation. Unlike in the authors' code, both images of a pair have the same class: from a real image of
    another class, a generated image can learn only the properties that all classes share.

    Args:
        weights: path of torchvision's state dict, read without running any code in the file; empty for
            torchvision's file name in the cache of torch.hub. Nothing is downloaded.
        batch_norm: use the variant with batch norm, and its features after the max pooling that follows each
            of the four layers, as the paper does for ImageNet (appendix C.3).

    Raises:
        CgnInputError: no such file, or not the weights of a VGG16.
    """

    def __init__(self, weights: str = "", *, batch_norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._ends: list[int] = []  # layers[:end] gives a block's features
        channels = 3
        for block in VGG16_BLOCKS:
            for wider in block:
                layers.append(nn.Conv2d(channels, wider, 3, padding=1))
                layers += [nn.BatchNorm2d(wider), nn.ReLU()] if batch_norm else [nn.ReLU()]
                channels = wider
            layers.append(nn.MaxPool2d(2))
            self._ends.append(len(layers) if batch_norm else len(layers) - 1)
        # The numbering of layers is torchvision's, so parameters have torchvision's names.
        self.features = nn.Sequential(*layers)
        names = {name: t for name, t in self.state_dict().items() if not name.endswith(_COUNTER)}
        self.load_state_dict(
            _read_vgg16(weights, VGG16_BN_FILE if batch_norm else VGG16_FILE, names), strict=False
        )
        self.eval().requires_grad_(False)

    def forward(
        self,
        x_generated: torch.Tensor,
        x_real: torch.Tensor,
        block_weights: Sequence[float] = VGG16_BLOCK_WEIGHTS,
    ) -> torch.Tensor:
        """Returns the weighted mean absolute difference of image pairs' Gram matrices.

        Images are (N, 3, H, W) in [-1, 1]. No gradient flows to ``x_real``. ``block_weights`` are those of
        the four layers, each 0 or more.
        """
        with torch.no_grad():
            real = self._grams(x_real, block_weights)
        distance = x_generated.new_zeros(())
        used = [weight for weight in block_weights if weight]
        for weight, g, g_real in zip(used, self._grams(x_generated, block_weights), real, strict=True):
            distance = distance + weight * (g - g_real).abs().mean()
        return distance

    def _grams(self, x_NCHW: torch.Tensor, block_weights: Sequence[float]) -> list[torch.Tensor]:
        """Returns the Gram matrices (N, F, F) of the blocks whose weight is above 0."""
        grams, start = [], 0
        last = max((i for i, weight in enumerate(block_weights) if weight), default=-1)
        for weight, end in zip(block_weights[: last + 1], self._ends, strict=False):
            x_NCHW = self.features[start:end](x_NCHW)
            start = end
            if weight:
                h_NFP = x_NCHW.flatten(2)
                grams.append(h_NFP @ h_NFP.transpose(1, 2) / (h_NFP.shape[1] * h_NFP.shape[2]))
        return grams


def _read_vgg16(weights: str, file: str, expected: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns the expected tensors of a state dict file, each in its shape. Raises CgnInputError."""
    path = Path(weights).expanduser() if weights else Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.is_file():
        cure = f"put https://download.pytorch.org/models/{file} there, or give its path"
        raise CgnInputError("vgg16_weights", f"there is no file {path}; {cure}")
    try:
        result = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises almost anything at a file that is no state dict
        kind = type(error).__name__
        raise CgnInputError("vgg16_weights", f"{path} is damaged or no state dict ({kind})") from None
    if not isinstance(result, dict):
        raise CgnInputError("vgg16_weights", f"{path} holds a {type(result).__name__}, not a state dict")
    if missing := [name for name in expected if not isinstance(result.get(name), torch.Tensor)]:
        raise CgnInputError("vgg16_weights", f"{path} is no VGG16 of torchvision: lacks {', '.join(missing)}")
    for name, tensor in expected.items():
        if result[name].shape != tensor.shape:
            shapes = f"{name} is {tuple(result[name].shape)}, must be {tuple(tensor.shape)}"
            raise CgnInputError("vgg16_weights", f"{path} is no plain VGG16: {shapes}")
    return {name: result[name] for name in expected}
