"""The authors' MNIST networks with random weights, to measure their cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F

from cgn.families.mnist_authors.network import AuthorsMnistCGN
from cgn.imports.card_fields import mnist_fields
from cgn.noise import MECHANISMS
from cgn.store import checkpoint

NAME = "authors_networks"
_ROWS = 256  # for batch norm's statistics


@contextmanager
def authors_networks() -> Iterator[Path]:
    """Yields a models directory with the model NAME, as an import of their weights would publish it."""
    torch.manual_seed(0)
    network = AuthorsMnistCGN()
    y_NC = F.one_hot(torch.arange(_ROWS) % network.classes, network.classes).float()
    with torch.no_grad():
        for mechanism in MECHANISMS:  # in training mode, so that batch norm scales every layer's outputs
            noise = torch.randn(_ROWS, network.latent), y_NC, torch.zeros(_ROWS, 2, dtype=torch.int64)
            for _ in range(50):
                network.draw(mechanism, *noise, 1.0)
    with TemporaryDirectory(prefix="cgn-bench-") as folder:
        checkpoint.publish(
            Path(folder),
            network.eval(),
            dtype=torch.float32,
            name=NAME,
            version="v1",
            trained=False,
            training={"weights": "random"},
            **mnist_fields(network, "colored_mnist"),
        )
        yield Path(folder)
