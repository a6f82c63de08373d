"""The authors' MNIST family: the networks of their published MNIST checkpoints, in one size."""

from cgn.families.family import Family, served_from_trained
from cgn.families.mnist_authors.network import AuthorsMnistCGN
from cgn.families.mnist_authors.served import ServedAuthorsMnist

FAMILY = Family(
    name="mnist_authors",
    outputs=("composite", "mask", "foreground", "background"),
    build=AuthorsMnistCGN.of,
    serve=served_from_trained(AuthorsMnistCGN.of, ServedAuthorsMnist),
)
