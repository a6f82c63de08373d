"""The served form of the ImageNet family: a row computes only its own mechanism, on pruned networks.

Shape suffixes: N rows, L latent, C classes, HW pixels.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import nn

from cgn.families.imagenet.biggan_served import ServedBigGAN
from cgn.families.imagenet.network import MASK_FLOOR, MASK_NETWORK, MODULES, ImagenetSizes
from cgn.families.imagenet.u2net import build_u2net
from cgn.families.imagenet.u2net_served import served_u2net
from cgn.families.network import Network
from cgn.noise import MECHANISMS, Mechanism

_ROWS_ON_A_GPU = 8  # rows of a forward pass; on a CPU rows run one by one, which is faster there


class ServedShape(nn.Module):
    """(u, y) -> mask and pre-mask."""

    def __init__(self, pre_mask: ServedBigGAN, mask: nn.Module) -> None:
        super().__init__()
        self.pre_mask, self.mask = pre_mask, mask

    def forward(self, u_NL: torch.Tensor, y_NC: torch.Tensor, truncation: float) -> torch.Tensor:
        """Returns (N, 4, R, R): the mask in [MASK_FLOOR, 1 - MASK_FLOOR], then the pre-mask in [-1, 1]."""
        pre_mask = self.pre_mask(u_NL, y_NC, truncation)
        m = self.mask(pre_mask.to(self.pre_mask.dtype)).float().clamp(MASK_FLOOR, 1 - MASK_FLOOR)
        return torch.cat([m, pre_mask], dim=1)


class ServedImagenet(Network):
    """The mechanisms of an ImageNet CGN, for inference only.

    Args:
        sizes: sizes of the trained form.
        weights: state dict of the trained form, read tensor by tensor. It stays referenced if the model has
            a reference, whose network is built for its first row.
        device: device to run on; the network cannot move to another one.
        dtype: type of weights and maps, see ServedBigGAN.

    Raises:
        CgnInputError: the weights have other sizes.
    """

    truncated: ClassVar[bool] = True

    def __init__(
        self,
        sizes: ImagenetSizes,
        weights: Mapping[str, torch.Tensor],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(sizes.biggan.classes, sizes.resolution)
        self.latent = sizes.biggan.z_dim
        self.batch_rows = 1 if torch.device(device).type == "cpu" else _ROWS_ON_A_GPU
        self._sizes, self._weights, self._device, self._dtype = sizes, weights, device, dtype
        if sizes.reference:
            self.mechanisms = (*MECHANISMS, "reference")
        self.shape = ServedShape(self._biggan("shape"), self._u2net())
        self.texture, self.background = self._biggan("texture"), self._biggan("background")
        self.reference: ServedBigGAN | None = None

    def draw(
        self,
        mechanism: Mechanism,
        u_NL: torch.Tensor,
        y_NC: torch.Tensor,
        shift_N2: torch.Tensor,
        truncation: float,
    ) -> torch.Tensor:
        if mechanism == "reference" and self.reference is None:
            self.reference = self._biggan("reference")
        rows: torch.Tensor = getattr(self, mechanism)(u_NL, y_NC, truncation)
        return rows

    def find_saliency(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            x = x_N3HW.to(self._device, self._dtype)
            return torch.cat([self.shape.mask(picture) for picture in x.split(1)]).float().cpu()

    def resident_bytes(self, mechanism: Mechanism) -> int:
        return 0 if getattr(self, mechanism) is None else super().resident_bytes(mechanism)

    def _u2net(self) -> nn.Module:
        tensors = dict(Part(self._weights, MASK_NETWORK))
        u2net = build_u2net(tensors, MASK_NETWORK, self._sizes.u2net, align_corners=True)
        return served_u2net(u2net, self._sizes.resolution, self._dtype, self._device)

    def _biggan(self, mechanism: Mechanism) -> ServedBigGAN:
        return ServedBigGAN(
            self._sizes.biggan,
            Part(self._weights, MODULES[mechanism]),
            dtype=self._dtype,
            device=self._device,
            mend_truncation=self._sizes.mend_truncation,
        ).eval()


class Part(Mapping[str, torch.Tensor]):
    """The tensors of one module of a state dict, with names relative to the module."""

    def __init__(self, weights: Mapping[str, torch.Tensor], module: str) -> None:
        self._weights, self._prefix = weights, f"{module}."

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._weights[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        for name in self._weights:
            if name.startswith(self._prefix):
                yield name.removeprefix(self._prefix)

    def __len__(self) -> int:
        return sum(1 for _ in self)
