"""The methods and data sets of table 2. A new method gets an entry here. No torch in here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VARIANTS: Mapping[str, str] = {  # data set by short name
    "colored": "colored_mnist",
    "double_colored": "double_colored_mnist",
    "wildlife": "wildlife_mnist",
}


@dataclass(frozen=True)
class Method:
    """A row of table 2: what the network of a cell is trained on."""

    label: str  # in tables
    train_on: str  # images of the classifier's training; empty: the cell trains a CGN, no classifier
    uses_cgn: bool = False  # whether the classifier trains on images of the CGN of the same seed
    options: Mapping[str, Any] = field(default_factory=dict)  # more options of the classifier's training


MODEL = "model"
METHODS: Mapping[str, Method] = {
    MODEL: Method("CGN", train_on=""),
    "original": Method("Original", train_on="original"),
    "cgn": Method("CGN only", train_on="counterfactual", uses_cgn=True),
    "original_cgn": Method("Original + CGN", train_on="original+counterfactual", uses_cgn=True),
    "oracle": Method("Oracle", train_on="intervention"),
}
# Variations of the row "CGN only", tried on double-colored MNIST, where one goal is missed. They are compared
# on validation images and are no rows of the table.
IDEAS: Mapping[str, Method] = {
    name: Method(label, train_on="counterfactual", uses_cgn=True, options=options)
    for name, label, options in (
        ("no_jitter", "no jitter of shape and colours", {"jitter": False}),
        ("four_to_a_shape", "CF ratio 4", {"cf_ratio": 4}),
        ("permuted_labels", "labels of colours permuted in groups of 100", {"labels": "permuted"}),
        ("other_labels", "never the colours of the shape's label", {"labels": "other"}),
        ("batch_16", "batches of 16", {"batch_size": 16}),
        ("batch_64", "batches of 64", {"batch_size": 64}),
        ("more_masks", "bank of 150,000 masks instead of 50,000", {"bank_masks": 150_000}),
        ("twice_the_images", "1.2 million images seen", {"images_seen": 1_200_000}),
    )
}
IDEAS_VARIANT, IDEAS_SEED = "double_colored", 1
ALL: Mapping[str, Method] = {**METHODS, **IDEAS}
CANDIDATES = ("cgn", "original_cgn")  # the one with the higher validation accuracy is the CGN's result
