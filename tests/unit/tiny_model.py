"""A published CGN with random weights, for tests; its card says that it was never trained."""

from pathlib import Path

import torch

from cgn import checkpoint
from cgn.card import MaskBounds, ModelCard
from cgn.model import build_network


def publish_tiny(
    root: Path, name: str = "tiny", version: str = "v1", seed: int = 0, width: int = 8
) -> ModelCard:
    """Publishes random weights in float32."""
    torch.manual_seed(seed)
    return checkpoint.publish(
        root,
        build_network("mnist", {"width": width}),
        dtype=torch.float32,
        name=name,
        version=version,
        family="mnist",
        architecture={"width": width},
        class_names=[str(digit) for digit in range(10)],
        resolution=32,
        latent_size=32,
        mask_bounds=[MaskBounds(0.03, 0.45)] * 10,
        mask_mean=[0.5] * 10,
        trained=False,
        notes=["random weights"],
    )
