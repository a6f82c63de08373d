"""The loss of a training: equation 4 with the weights, features and texture targets of the run's options."""

from functools import partial

import torch

from cgn.errors import CgnInputError
from cgn.families.imagenet.network import ImagenetCGN, Outputs
from cgn.losses.equation4 import TERMS, Inputs
from cgn.losses.style import StyleLoss, Vgg16StyleLoss
from cgn.losses.texture_targets import patch_grids, patch_side, random_fills
from trainer.imagenet.config import TrainImagenetConfig


class Objective:
    """The terms of L and their weights. A term of weight 0 is not computed.

    Args:
        config: of the run.
        resolution: of the pictures.
        device: of the features.

    Attributes:
        weights: λ1 to λ6 by name of the term, and "adversarial", as far as they are above 0.

    Raises:
        CgnInputError: patches larger than the picture they are cut from, or no weights for the features.
    """

    def __init__(self, config: TrainImagenetConfig, resolution: int, device: torch.device) -> None:
        settings = config.settings
        self._config, self._settings = config, settings
        self.weights = {name: weight for name, weight in settings.weights.items() if weight}
        self._side = config.patch_size or patch_side(resolution)
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
        """Returns the terms of equation 4 by name, scalars without their weights.

        Args:
            network: its U²-Net measures the saliency of backgrounds.
            out: outputs of the mechanisms for the noise and labels of ``x_gt``.
            x_gen: the composites that should look like ``x_gt``, refined if there is a refinement network.
            x_gt: pictures of the unconstrained cGAN.
            random: of the patches; on the CPU.
        """
        settings, config = self._settings, self._config
        source = out.composite if settings.patches_of == "composite" else x_gt
        inputs = Inputs(
            x_gen=x_gen,
            x_gt=x_gt,
            mask=out.mask,
            foreground=out.foreground,
            background=out.background,
            texture_target=partial(self.texture_targets, source.detach(), out.mask.detach(), random),
            perceptual_distance=partial(self._distance, settings.perceptual_blocks),
            texture_distance=partial(self._distance, settings.text_blocks),
            saliency=network.u2net,
            mask_lowest=config.mask_lowest,
            mask_highest=config.mask_highest,
            mask_of_batch=settings.mask_of_batch,
        )
        return {term.name: term.loss(inputs) for term in TERMS.values() if term.name in self.weights}

    def total(self, terms: dict[str, torch.Tensor]) -> torch.Tensor:
        """Returns L (equation 4): the weighted sum of terms, with "adversarial" if it is among them."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def texture_targets(self, x: torch.Tensor, m: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Returns the pictures that L_text compares foregrounds with, (N, 3, R, R) in [-1, 1].

        Args:
            x: pictures (N, 3, R, R) in [-1, 1] to cut the object's texture from.
            m: their masks (N, 1, R, R) in [0, 1].
            random: on the CPU.
        """
        if self._config.texture_target == "random_fill":
            return random_fills(x, m, random)
        return patch_grids(
            x,
            m,
            random,
            side=self._side,
            halved=self._settings.text_halved,
            by_object=self._config.patch_by_object,
        )

    def _distance(
        self, blocks: tuple[int, int, int, int], x: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        if isinstance(self._style, Vgg16StyleLoss):
            return self._style(x, target, blocks)
        assert self._style is not None  # a term that needs it has a weight
        return self._style(x, target)
