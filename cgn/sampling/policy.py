"""What a stream of counterfactuals is drawn by: which mechanisms vary, how labels are drawn, from which rows.

No numpy in here: the options of runs are checked with it where there is none.
"""

from dataclasses import dataclass

from cgn.errors import CgnInputError

VARY = ("texture+background", "texture", "background", "none")
LABELS = ("uniform", "permuted", "other")
MOST_ROWS = 10_000_000  # of a bank: its indices stay far below 2^32
HIGHEST_RATIO = 1_000_000


@dataclass(frozen=True)
class Policy:
    """How sample i of a stream comes about. Shape is the anchor: an image's class is its shape's label.

    Attributes:
        vary: mechanisms with a label and noise of their own, one of VARY. The others share the shape's label
            and seed, so "texture+background" is fully counterfactual and "none" is the paper's
            non-counterfactual sample, what a class-conditional GAN would draw.
        labels: labels of the mechanisms that vary, one of LABELS.
            "uniform": every label is drawn from all classes, independently.
            "permuted": the authors' way. In every group of 100 shapes (the next multiple of the number of
            classes, where that does not divide 100) the classes are balanced, and the labels of each varied
            mechanism are a random permutation of the group's shape labels, of its own for each mechanism and
            each counterfactual per shape.
            "other": any label but the shape's own, all alike; or the shape's own at the rate of
            ``agreement``, for each mechanism independently. Shapes are drawn uniformly.
        agreement: share of samples whose label is the shape's, of each mechanism that varies, in [0, 1];
            above 0 only with "other" labels.
        cf_ratio: counterfactuals per shape, 1 to HIGHEST_RATIO: samples i with equal i // cf_ratio share
            label and noise of the shape. Each gets new labels and new noise for the mechanisms that vary, as
            in the authors' code; in section 2.3 of the paper one noise vector stays and only labels vary.
        bank_masks, bank_textures, bank_backgrounds: rows that a mechanism's factors are drawn from, classes
            in equal numbers, 1 per class to MOST_ROWS; 0: noise of its own for every draw. A mechanism that
            does not vary has the shape's rows, whatever its own number says.
        jitter: change every image's mask and colours a little at random (cgn.images.jitter), as data for
            classifiers profits from. Masks are then cut at 1/2.

    Raises:
        CgnInputError: a value that is not allowed.
    """

    vary: str = VARY[0]
    labels: str = LABELS[0]
    cf_ratio: int = 1
    bank_masks: int = 0
    bank_textures: int = 0
    bank_backgrounds: int = 0
    jitter: bool = False
    agreement: float = 0.0

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
            raise CgnInputError("agreement", f'is of "other" labels; leave it out with {self.labels!r} ones')
        if not isinstance(self.jitter, bool):
            raise CgnInputError("jitter", f"{self.jitter!r} must be true or false")

    def varies(self, mechanism: str) -> bool:
        """Whether a mechanism has factors of its own; the shape always does."""
        return mechanism == "shape" or mechanism in self.vary.split("+")

    def bank_rows(self, mechanism: str) -> int:
        """Rows of a mechanism's bank; 0: it has none, every draw is fresh."""
        name = {"shape": "bank_masks", "texture": "bank_textures", "background": "bank_backgrounds"}
        rows: int = getattr(self, name[mechanism if self.varies(mechanism) else "shape"])
        return rows
