"""A published CGN with random weights, for tests; its card says that it was never trained."""

from pathlib import Path
from typing import Any

import torch

from cgn import checkpoint
from cgn.card import MaskBounds, ModelCard
from cgn.families import build_network

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def publish_random(
    root: Path,
    name: str,
    version: str = "v1",
    *,
    seed: int = 0,
    width: int = 8,
    class_names: list[str] = DIGITS,
    resolution: int = 32,
    **fields: Any,
) -> ModelCard:
    """Publishes a small CGN; fields replace those of its card."""
    torch.manual_seed(seed)
    card: dict[str, Any] = {
        "family": "mnist",
        "architecture": {"width": width},
        "class_names": class_names,
        "resolution": resolution,
        "latent_size": 32,
        "mask_bounds": [MaskBounds(0.05, 0.6, highest_border=0.5, highest_soft=1.0)] * len(class_names),
        "mask_mean": [0.5] * len(class_names),
        "mask_border": [0.34] * len(class_names),
        "mask_soft": [1.0] * len(class_names),
        "trained": False,
        "notes": ["random weights, for tests"],
    }
    network = build_network("mnist", {"width": width}, len(class_names), resolution)
    return checkpoint.publish(root, network, name=name, version=version, **(card | fields))
