"""What is compared: methods on data sets. The one table to add a method to. No torch in here."""

from collections.abc import Mapping
from dataclasses import dataclass

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


MODEL = "model"
METHODS: Mapping[str, Method] = {
    MODEL: Method("CGN", train_on=""),
    "original": Method("Original", train_on="original"),
    "cgn": Method("CGN only", train_on="counterfactual", uses_cgn=True),
    "original_cgn": Method("Original + CGN", train_on="original+counterfactual", uses_cgn=True),
    "oracle": Method("Oracle", train_on="intervention"),
}
CANDIDATES = ("cgn", "original_cgn")  # the better one on validation counts as the CGN's score of a variant
