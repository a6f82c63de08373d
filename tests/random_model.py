"""A published CGN with random weights, for tests; its card says that it was never trained."""

from pathlib import Path
from typing import Any

import torch

from cgn import checkpoint
from cgn.card import MaskBounds, ModelCard
from cgn.model import build_network

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def publish_random(
    root: Path, name: str, version: str = "v1", *, seed: int = 0, width: int = 8, **fields: Any
) -> ModelCard:
    """Publishes a small MNIST CGN; fields replace those of its card."""
    torch.manual_seed(seed)
    card: dict[str, Any] = {
        "family": "mnist",
        "architecture": {"width": width},
        "class_names": DIGITS,
        "resolution": 32,
        "latent_size": 32,
        "mask_bounds": [MaskBounds(0.05, 0.6)] * 10,
        "mask_mean": [0.5] * 10,
        "trained": False,
        "notes": ["random weights, for tests"],
    }
    network = build_network("mnist", {"width": width})
    return checkpoint.publish(root, network, name=name, version=version, **(card | fields))
