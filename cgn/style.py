"""Style losses: how far the textures of two images are apart, wherever in the image they lie.

Both compare Gram matrices (Gatys et al. 2015), which know which features occur together but not where.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from cgn.errors import CgnInputError


class StyleLoss(nn.Module):
    """Distance of Gram matrices of one layer of fixed random filters of several sizes.

    A single layer of random filters rivals VGG features for textures (Ustyuzhaninov et al. 2016), needs no
    download and costs next to nothing. Pairs are of the same class.
    """

    def __init__(self, sizes: tuple[int, ...] = (3, 5, 7), filters: int = 32) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for size in sizes:
            weight = torch.randn(filters, 3, size, size, generator=generator) / (3 * size * size) ** 0.5
            self.register_buffer(f"filters_{size}", weight, persistent=False)

    def forward(self, x_generated: torch.Tensor, x_real: torch.Tensor) -> torch.Tensor:
        """Mean absolute difference of the Gram matrices of image pairs (N, 3, H, W) in [-1, 1]."""
        distance = x_generated.new_zeros(())
        for weight in self.buffers():
            g, g_real = _random_gram(x_generated, weight), _random_gram(x_real, weight)
            distance = distance + (g - g_real).abs().mean()
        return distance


def _random_gram(x_NCHW: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    # Every other position is evidence enough, at a quarter of the cost.
    h_NFP = F.relu(F.conv2d(x_NCHW, weight, stride=2)).flatten(2)
    return h_NFP @ h_NFP.transpose(1, 2) / h_NFP.shape[2]


VGG16_FILE = "vgg16-397923af.pth"  # torchvision's name for its weights trained on ImageNet
VGG16_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))  # channels of its first convolutions

# Of each block's distance, as the authors' code has them for Wildlife MNIST, whose textures are photographs:
# squares of its weights 0.01, 0.05, 0 and 0.01, times 5,000.
VGG16_BLOCK_WEIGHTS = (0.5, 12.5, 0.0, 0.5)


class Vgg16StyleLoss(nn.Module):
    """Distance of Gram matrices of layers of a VGG16 that has learnt ImageNet (Johnson et al. 2016).

    The layers are relu1_2, relu2_2 and relu4_3 (relu3_3 has no weight); a Gram matrix is divided by channels,
    height and width of its layer. As in the authors' code, images go in as they are, in [-1, 1], without the
    means and deviations of ImageNet. Unlike there, pairs are of the same class: from a real image of another
    class a generated one can only learn what all classes have in common.

    Args:
        weights: path of torchvision's state dict, a file of tensors that is read without running any code in
            it; empty: VGG16_FILE in the cache of torch.hub. Nothing is downloaded.

    Raises:
        CgnInputError: no such file, or not the weights of a VGG16.
    """

    def __init__(self, weights: str = "") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._ends: list[int] = []  # layers[:end] gives a block's features
        channels = 3
        for block in VGG16_BLOCKS:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for wider in block:
                layers += [nn.Conv2d(channels, wider, 3, padding=1), nn.ReLU()]
                channels = wider
            self._ends.append(len(layers))
        # torchvision's numbering of its layers, so its names are ours.
        self.features = nn.Sequential(*layers)
        self.load_state_dict(_read_vgg16(weights, self.state_dict()))
        self.eval().requires_grad_(False)

    def forward(self, x_generated: torch.Tensor, x_real: torch.Tensor) -> torch.Tensor:
        """Weighted mean absolute difference of the Gram matrices of image pairs (N, 3, H, W) in [-1, 1].

        No gradient flows to ``x_real``.
        """
        with torch.no_grad():
            real = self._grams(x_real)
        distance = x_generated.new_zeros(())
        used = [weight for weight in VGG16_BLOCK_WEIGHTS if weight]
        for weight, g, g_real in zip(used, self._grams(x_generated), real, strict=True):
            distance = distance + weight * (g - g_real).abs().mean()
        return distance

    def _grams(self, x_NCHW: torch.Tensor) -> list[torch.Tensor]:
        """The Gram matrices (N, F, F) of the blocks that have a weight."""
        grams, start = [], 0
        for weight, end in zip(VGG16_BLOCK_WEIGHTS, self._ends, strict=True):
            x_NCHW = self.features[start:end](x_NCHW)
            start = end
            if weight:
                h_NFP = x_NCHW.flatten(2)
                grams.append(h_NFP @ h_NFP.transpose(1, 2) / (h_NFP.shape[1] * h_NFP.shape[2]))
        return grams


def _read_vgg16(weights: str, expected: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a state dict file that are expected, each in its shape. Raises CgnInputError."""
    path = Path(weights).expanduser() if weights else Path(torch.hub.get_dir()) / "checkpoints" / VGG16_FILE
    if not path.is_file():
        cure = f"put torchvision's {VGG16_FILE} there or give its path, or use the style loss without it"
        raise CgnInputError("vgg16_weights", f"there is no file {path}; {cure}")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises almost anything at a file that is no state dict
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CgnInputError("vgg16_weights", f"{path} is damaged or no state dict ({reason:.80})") from None
    if not isinstance(found, dict):
        raise CgnInputError("vgg16_weights", f"{path} holds a {type(found).__name__}, not a state dict")
    if missing := [name for name in expected if not isinstance(found.get(name), torch.Tensor)]:
        raise CgnInputError("vgg16_weights", f"{path} is no VGG16 of torchvision: lacks {', '.join(missing)}")
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            shapes = f"{name} is {tuple(found[name].shape)}, must be {tuple(tensor.shape)}"
            raise CgnInputError("vgg16_weights", f"{path} is no plain VGG16: {shapes}")
    return {name: found[name] for name in expected}
