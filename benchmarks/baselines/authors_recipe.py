"""A reimplementation of the CGN authors' MNIST recipe, for timing: networks, losses and steps of the same
cost.

It follows descriptions of their published code (autonomousvision/counterfactual_generative_networks), with
its three published settings. It omits data loading, augmentation, sample grids and checkpoints, which would
only add time. VGG16 has random weights: they cost the same as trained weights, but the result is not
meaningful. All computation is in float32, as in their code.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import vgg16  # type: ignore[import-untyped]

CLASSES, LATENT, SIDE = 10, 32, 32
BATCH, EPOCHS = 16, 15
LEARNING_RATE, BETAS = 2e-4, (0.5, 0.999)  # of Adam, for mechanisms and discriminator
LOWEST, HIGHEST = 1e-4, 0.9999  # mask values are clamped to these
VGG_BLOCKS = (
    (0, 4),
    (4, 9),
    (9, 16),
    (16, 23),
    (23, 30),
)  # each from a pooling layer to the ReLU before the next


@dataclass(frozen=True)
class Setting:
    """The settings that differ between variants."""

    images: int  # training images
    style: tuple[float, float, float, float]  # weight of the Gram distance of VGG16's first four blocks
    binary: float  # weight of L_binary
    convolutional: bool  # discriminator; else linear
    orthogonal: bool  # initial weights; else normal
    gain: float  # of the initial weights; their standard deviation if normal

    @property
    def steps(self) -> int:
        """Steps of the whole recipe: 15 epochs; the last batch of an epoch may be smaller."""
        return EPOCHS * -(-self.images // BATCH)


SETTINGS = {
    "colored_mnist": Setting(60_000, (12.5, 50, 0.5, 0), 0.1, False, True, 0.1),
    "double_colored_mnist": Setting(50_000, (0, 12.5, 0, 12.5), 0.3, False, True, 0.2),
    "wildlife_mnist": Setting(50_000, (0.5, 12.5, 0, 0.5), 0.3, True, False, 0.03),
}


def _doubled(channels_in: int, channels_out: int) -> list[nn.Module]:
    """Returns layers that double height and width, then convolve."""
    return [
        nn.Upsample(scale_factor=2),
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.LeakyReLU(0.2),
    ]


def _shape() -> nn.Sequential:
    """[u, y] -> mask before its clamp; the last normalisation sets its mean to 0 and its variance to 1."""
    return nn.Sequential(
        nn.Linear(LATENT + CLASSES, 64 * 8 * 8),
        nn.Unflatten(1, (64, 8, 8)),
        nn.InstanceNorm2d(64),
        *_doubled(64, 32),
        nn.InstanceNorm2d(32),
        *_doubled(32, 1),
        nn.InstanceNorm2d(1),
    )


def _texture() -> nn.Sequential:
    """[u, y] -> colours in [-1, 1], before their roll."""
    return nn.Sequential(
        nn.Linear(LATENT + CLASSES, 64 * 8 * 8),
        nn.Unflatten(1, (64, 8, 8)),
        *_doubled(64, 64),
        *_doubled(64, 32),
        nn.Conv2d(32, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.Tanh(),
    )


def _rolled(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Shifts each image cyclically by its own random roll: a crop of four copies, two by two."""
    n, channels = x_NCHW.shape[:2]
    top_N, left_N = torch.randint(SIDE + 1, (2, n))
    tiled = x_NCHW.repeat(1, 1, 2, 2)
    row_NH = top_N[:, None] + torch.arange(SIDE)
    column_NW = left_N[:, None] + torch.arange(SIDE)
    place_N1P = (row_NH[:, :, None] * 2 * SIDE + column_NW[:, None, :]).view(n, 1, -1)
    return tiled.flatten(2).gather(2, place_N1P.expand(-1, channels, -1)).view_as(x_NCHW)


class AuthorsCGN(nn.Module):
    """The three mechanisms, with the parameter names and shapes of the authors' checkpoints."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(CLASSES, CLASSES)
        self.f_shape, self.f_text1, self.f_text2 = _shape(), _texture(), _texture()
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                if setting.orthogonal:
                    nn.init.orthogonal_(module.weight, setting.gain)
                else:
                    nn.init.normal_(module.weight, 0.0, setting.gain)

    def forward(self, label_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns mask (N, 1, 32, 32), foreground, background (N, 3, 32, 32) of one noise and label."""
        u_NL = torch.randn(len(label_N), LATENT)
        input_NK = torch.cat([u_NL, self.label_emb(label_N)], dim=1)
        m = self.f_shape(input_NK).clamp(LOWEST, HIGHEST)
        return m, _rolled(self.f_text1(input_NK)), _rolled(self.f_text2(input_NK))


class LinearDiscriminator(nn.Module):
    """Scores an image and its label with four linear layers; for the two colored variants."""

    def __init__(self) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(CLASSES, CLASSES)
        self.layers = nn.Sequential(
            nn.Linear(3 * SIDE * SIDE + CLASSES, 512),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 512),
            nn.Dropout(0.4),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 512),
            nn.Dropout(0.4),
            nn.LeakyReLU(0.2),
            nn.Linear(512, 1),
        )

    def forward(self, x_NCHW: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Returns scores (N,)."""
        return self.layers(torch.cat([x_NCHW.flatten(1), self.label_emb(label_N)], dim=1)).flatten()


class ConvolutionalDiscriminator(nn.Module):
    """Scores an image and its label, a constant fourth channel; for Wildlife MNIST."""

    def __init__(self) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(CLASSES, 1)
        layers: list[nn.Module] = []
        for channels_in, channels_out, kernel, stride in (
            (4, 32, 3, 1),
            (32, 64, 3, 1),
            (64, 128, 4, 2),
            (128, 128, 4, 2),
        ):
            layers += [
                nn.Conv2d(channels_in, channels_out, kernel, stride, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.AvgPool2d(3), nn.Conv2d(128, 1, 1, bias=False))

    def forward(self, x_NCHW: torch.Tensor, label_N: torch.Tensor) -> torch.Tensor:
        """Returns scores (N,)."""
        label_N1HW = self.label_emb(label_N)[:, :, None, None].expand(-1, -1, SIDE, SIDE)
        return self.layers(torch.cat([x_NCHW, label_N1HW], dim=1)).flatten()


class VggStyle(nn.Module):
    """Weighted L1 distance of Gram matrices of VGG16's blocks. All five run; at most three have a weight."""

    def __init__(self, weights: tuple[float, float, float, float]) -> None:
        super().__init__()
        features = vgg16(weights=None).features.requires_grad_(False).eval()
        self.blocks = nn.ModuleList(features[start:end] for start, end in VGG_BLOCKS)
        self.weights = (*weights, 0.0)

    def forward(self, x_generated: torch.Tensor, x_real: torch.Tensor) -> torch.Tensor:
        """Returns a scalar for pairs of images (N, 3, 32, 32) in [-1, 1]."""
        generated, real = x_generated, x_real
        distance = x_generated.new_zeros(())
        for block, weight in zip(self.blocks, self.weights, strict=True):
            generated, real = block(generated), block(real)
            if weight:
                distance = distance + weight * F.l1_loss(_gram(generated), _gram(real))
        return distance


def _gram(h_NCHW: torch.Tensor) -> torch.Tensor:
    h_NCP = h_NCHW.flatten(2)
    return h_NCP @ h_NCP.transpose(1, 2) / h_NCP[0].numel()


def authors_training(
    variant: str, images: torch.Tensor, labels: torch.Tensor, seed: int = 0
) -> Iterator[dict[str, float]]:
    """Trains endlessly: performs one step per iteration and yields the step's losses.

    Args:
        variant: a key of SETTINGS.
        images, labels: float32 (N, 3, 32, 32) in [-1, 1] and int64 (N,), N at least 16.
        seed: of initial weights, order and noise, for torch's global generator.
    """
    setting = SETTINGS[variant]
    torch.manual_seed(seed)
    cgn = AuthorsCGN(setting)
    discriminator = ConvolutionalDiscriminator() if setting.convolutional else LinearDiscriminator()
    style = VggStyle(setting.style)
    adam_g = torch.optim.Adam(cgn.parameters(), LEARNING_RATE, BETAS)
    adam_d = torch.optim.Adam(discriminator.parameters(), LEARNING_RATE, BETAS)
    one, zero = torch.ones(BATCH), torch.zeros(BATCH)
    while True:
        for chosen in torch.randperm(len(labels)).split(BATCH):
            if len(chosen) < BATCH:
                continue
            x_real, label_real = images[chosen], labels[chosen]

            # Mechanisms: least-squares adversarial, binary entropy, style. Generated labels are drawn
            # independently of the real labels, so nine of ten pairs in the style loss have different classes.
            label_gen = torch.randint(CLASSES, (BATCH,))
            m, f, b = cgn(label_gen)
            x_gen = m * f + (1 - m) * b
            adversarial = F.mse_loss(discriminator(x_gen, label_gen), one)
            binary = -(m * m.log2() + (1 - m) * (1 - m).log2()).mean()
            texture = style(x_gen, x_real)
            loss_g = adversarial + setting.binary * binary + texture
            adam_g.zero_grad()
            loss_g.backward()
            adam_g.step()

            # Discriminator, after the mechanisms.
            loss_d = (
                F.mse_loss(discriminator(x_real, label_real), one)
                + F.mse_loss(discriminator(x_gen.detach(), label_gen), zero)
            ) / 2
            adam_d.zero_grad()
            loss_d.backward()
            adam_d.step()
            yield {"generator": float(loss_g.detach()), "discriminator": float(loss_d.detach())}
