"""Equation 4 as a training has it: which terms there are, of what, with which weights."""

import torch

from cgn.errors import CgnInputError
from cgn.families.imagenet.network import ImagenetCGN, Outputs
from cgn.losses import equation4 as imagenet_losses
from cgn.losses import masks_and_game as losses
from cgn.losses.style import StyleLoss, Vgg16StyleLoss
from trainer.imagenet.config import TrainImagenetConfig


class Objective:
    """The terms of L by name, and their weights. Terms of weight 0 do not exist.

    Args:
        config: of the training.
        resolution: of its pictures.
        device: that the features are to be on.

    Raises:
        CgnInputError: patches larger than what they are cut from, or no weights for the features.
    """

    def __init__(self, config: TrainImagenetConfig, resolution: int, device: torch.device) -> None:
        settings = config.settings
        self._config, self._settings = config, settings
        weights = {
            "l1": settings.weight_l1,
            "perceptual": settings.weight_perceptual,
            "binary": settings.weight_binary,
            "mask": settings.weight_mask,
            "text": settings.weight_text,
            "background": settings.weight_background,
            "adversarial": settings.weight_adversarial,
        }
        self.weights = {term: weight for term, weight in weights.items() if weight}
        self._side = config.patch_size or imagenet_losses.patch_side(resolution)
        cut_from = resolution // 2 if settings.text_halved else resolution
        if self._side > cut_from:
            raise CgnInputError(
                "patch_size", f"{self._side} must be at most {cut_from}, the pixels that patches are cut from"
            )
        self._style: StyleLoss | Vgg16StyleLoss | None = None
        if self.weights.keys() & {"perceptual", "text"}:
            style = (
                StyleLoss()
                if settings.features == "random"
                else Vgg16StyleLoss(config.vgg16_weights, batch_norm=settings.features == "vgg16_bn")
            )
            self._style = style.to(device)

    def terms(
        self,
        network: ImagenetCGN,
        out: Outputs,
        x_gen: torch.Tensor,
        x_gt: torch.Tensor,
        random: torch.Generator,
    ) -> dict[str, torch.Tensor]:
        """Each term, without its weight; "adversarial" is the discriminator's own business.

        Args:
            network: whose mask network judges backgrounds.
            out: of its mechanisms, for the cause that x_gt shows.
            x_gen: the composite that is to look like x_gt, perhaps refined.
            x_gt: of the unconstrained cGAN.
            random: of the patches; on the CPU.
        """
        settings, config = self._settings, self._config
        found: dict[str, torch.Tensor] = {}
        if "l1" in self.weights:
            found["l1"] = imagenet_losses.l1(x_gen, x_gt)
        if "perceptual" in self.weights:
            found["perceptual"] = self._distance(x_gen, x_gt, settings.perceptual_blocks)
        if "binary" in self.weights:
            found["binary"] = losses.binary_entropy(out.mask)
        if "mask" in self.weights:
            found["mask"] = imagenet_losses.mask_interval(
                out.mask, config.mask_lowest, config.mask_highest, of_batch=settings.mask_of_batch
            )
        if "text" in self.weights:
            source = out.composite if settings.patches_of == "composite" else x_gt
            target = self.texture_targets(source.detach(), out.mask.detach(), random)
            found["text"] = self._distance(out.foreground, target, settings.text_blocks)
        if "background" in self.weights:
            found["background"] = imagenet_losses.background_saliency(network.u2net, out.background)
        return found

    def total(self, terms: dict[str, torch.Tensor]) -> torch.Tensor:
        """L (equation 4)."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def texture_targets(self, x: torch.Tensor, m: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """What L_text compares foregrounds with, (N, 3, R, R); of pictures and their masks."""
        if self._config.texture_target == "random_fill":
            return imagenet_losses.random_fills(x, m, random)
        return imagenet_losses.patch_grids(
            x,
            m,
            random,
            side=self._side,
            halved=self._settings.text_halved,
            by_object=self._config.patch_by_object,
        )

    def _distance(
        self, x: torch.Tensor, target: torch.Tensor, blocks: tuple[int, int, int, int]
    ) -> torch.Tensor:
        if isinstance(self._style, Vgg16StyleLoss):
            return self._style(x, target, blocks)
        assert self._style is not None
        return self._style(x, target)
