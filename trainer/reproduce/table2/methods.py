"""What is compared: methods on data sets. The one table to add a method to. No torch in here."""

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
    """How a cell's network comes about."""

    label: str  # in tables
    train_on: str  # of the classifier's run; empty: no classifier, the cell is a CGN and its masks
    uses_cgn: bool = False  # the classifier learns from images of the CGN that has the cell's seed
    options: Mapping[str, Any] = field(default_factory=dict)  # of the classifier's run


MODEL = "model"
METHODS: Mapping[str, Method] = {
    MODEL: Method("CGN", train_on=""),
    "original": Method("Original", train_on="original"),
    "cgn": Method("CGN only", train_on="counterfactual", uses_cgn=True),
    "original_cgn": Method("Original + CGN", train_on="original+counterfactual", uses_cgn=True),
    "oracle": Method("Oracle", train_on="intervention"),
}
# Other ways to train on counterfactuals alone, tried on double-colored MNIST, whose goal is the one that is
# missed. Chosen between on validation, they are no rows of the table.
IDEAS: Mapping[str, Method] = {
    name: Method(label, train_on="counterfactual", uses_cgn=True, options=options)
    for name, label, options in (
        ("no_jitter", "no jitter of shape and colours", {"jitter": False}),
        ("four_to_a_shape", "CF ratio 4", {"cf_ratio": 4}),
        ("permuted_labels", "colours' labels permuted in groups of 100", {"labels": "permuted"}),
        ("other_labels", "never the colours of the shape's own label", {"labels": "other"}),
        ("batch_16", "batches of 16", {"batch_size": 16}),
        ("batch_64", "batches of 64", {"batch_size": 64}),
        ("more_masks", "bank of 150,000 masks instead of 50,000", {"bank_masks": 150_000}),
        ("twice_the_images", "1.2 million images seen", {"images_seen": 1_200_000}),
    )
}
IDEAS_VARIANT, IDEAS_SEED = "double_colored", 1
ALL: Mapping[str, Method] = {**METHODS, **IDEAS}
CANDIDATES = ("cgn", "original_cgn")  # the better one on validation counts as the CGN's score of a variant
