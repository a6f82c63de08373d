"""The authors' MNIST networks, as a model of random weights: to see what theirs cost."""

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
_ROWS = 256  # that batch norm's statistics are taken from


@contextmanager
def authors_networks() -> Iterator[Path]:
    """A models directory with the model NAME, as an import of their weights would have made it."""
    torch.manual_seed(0)
    network = AuthorsMnistCGN()
    y_NC = F.one_hot(torch.arange(_ROWS) % network.classes, network.classes).float()
    with torch.no_grad():
        for mechanism in MECHANISMS:  # in training, so that every layer's outputs are of some size
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
