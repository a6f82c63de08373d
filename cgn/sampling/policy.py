"""The sampling policy of a stream of counterfactuals: varying mechanisms, labels, banks of rows, jitter.

This module does not import numpy, because options are checked with it in processes without numpy.
"""

from dataclasses import dataclass, fields

from cgn.errors import CgnInputError

VARY = ("texture+background", "texture", "background", "none")
LABELS = ("uniform", "permuted", "other")
MOST_ROWS = 10_000_000  # of a bank, so that its indices stay far below 2^32
HIGHEST_RATIO = 1_000_000


@dataclass(frozen=True)
class Policy:
    """How sample i of a stream is drawn. An image's class is the label of its shape.

    Attributes:
        vary: mechanisms with their own label and noise, one of VARY. The others share the shape's label and
            seed. So "texture+background" is fully counterfactual, and "none" is the paper's
            non-counterfactual sample, as from a class-conditional GAN.
        labels: how the labels of varying mechanisms are drawn, one of LABELS.
            "uniform": each label is drawn from all classes, independently.
            "permuted": as in the authors' code. Shapes come in groups of 100, or of the next multiple of the
            number of classes. In a group the classes are balanced. The labels of each varying mechanism are a
            random permutation of the group's shape labels, drawn anew for each counterfactual per shape.
            "other": any label but the shape's, with equal probability; with probability ``agreement`` the
            shape's label instead, for each mechanism independently. Shapes are drawn uniformly.
        agreement: share of samples in which a varying mechanism has the shape's label, in [0, 1]; above 0
            only with "other" labels.
        cf_ratio: counterfactuals per shape, 1 to HIGHEST_RATIO: samples i with equal i // cf_ratio share
            label and noise of the shape. Each has new labels and new noise for the varying mechanisms, as in
            the authors' code. In section 2.3 of the paper one noise vector stays and only labels vary.
        bank_masks, bank_textures, bank_backgrounds: number of rows that a mechanism's factors are drawn
            from, balanced over the classes, 1 per class to MOST_ROWS; 0: new noise for every draw. A
            mechanism that does not vary uses the shape's rows, whatever its own number is.
        jitter: change every image's mask and colours a little at random (cgn.images.jitter), which helps
            classifiers. Masks are then cut at 1/2.

    Raises:
        CgnInputError: a value is not allowed.
    """

    vary: str = VARY[0]
    labels: str = LABELS[0]
    cf_ratio: int = 1
    bank_masks: int = 0
    bank_textures: int = 0
    bank_backgrounds: int = 0
    jitter: bool = False
    agreement: float = 0.0

    @classmethod
    def of(cls, options: object) -> "Policy":
        """Returns the policy of options with these names. A field that the options lack has its default."""
        names = [field.name for field in fields(cls) if hasattr(options, field.name)]
        return cls(**{name: getattr(options, name) for name in names})

    def __post_init__(self) -> None:
        for name, choices in (("vary", VARY), ("labels", LABELS)):
            if getattr(self, name) not in choices:
                raise CgnInputError(name, f"{getattr(self, name)!r} must be one of {', '.join(choices)}")
        for name, low, high in (
            ("cf_ratio", 1, HIGHEST_RATIO),
            ("bank_masks", 0, MOST_ROWS),
            ("bank_textures", 0, MOST_ROWS),
            ("bank_backgrounds", 0, MOST_ROWS),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise CgnInputError(name, f"{value!r} must be an integer, {low} to {high}")
        if not 0 <= self.agreement <= 1:
            raise CgnInputError("agreement", f"{self.agreement} is not within 0 to 1")
        if self.agreement and self.labels != "other":
            raise CgnInputError("agreement", f'needs "other" labels; leave it out with {self.labels!r} ones')
        if not isinstance(self.jitter, bool):
            raise CgnInputError("jitter", f"{self.jitter!r} must be true or false")

    def varies(self, mechanism: str) -> bool:
        """Returns whether a mechanism has its own factors; the shape always has."""
        return mechanism == "shape" or mechanism in self.vary.split("+")

    def bank_rows(self, mechanism: str) -> int:
        """Returns the number of rows in a mechanism's bank; 0: no bank, every draw has new noise."""
        name = {"shape": "bank_masks", "texture": "bank_textures", "background": "bank_backgrounds"}
        rows: int = getattr(self, name[mechanism if self.varies(mechanism) else "shape"])
        return rows
