"""Published counterfactuals: (shape, texture, background), by the names of ImageNet's classes.

The names are those of torchvision's list, which imported models have. Papers use other names for some
classes, such as hyena dog, race car or busby; here they have the list's names.
"""

from collections.abc import Mapping, Sequence

from cgn.noise import Mechanism

Triple = tuple[str, str, str]

# Appendix D.1 of the paper, figures 8 to 19.
FIGURES_8_TO_19: Sequence[str] = (
    *("jay", "wallaby", "king penguin", "vizsla", "barn", "speedboat"),
    *("viaduct", "cauliflower", "bell pepper", "strawberry", "geyser", "agaric"),
)

# Appendix D.2, figures 20 to 22: classes at the ends of interpolations, by mechanism. The figures name
# classes but not their pairs; here neighbouring names form a pair.
FIGURES_20_TO_22: Mapping[Mechanism, Sequence[tuple[str, str]]] = {
    "shape": (
        ("ostrich", "Indian cobra"),
        ("wine bottle", "forklift"),
        ("aircraft carrier", "bald eagle"),
    ),
    "texture": (
        ("wine bottle", "pill bottle"),
        ("trench coat", "monarch"),
        ("French loaf", "king penguin"),
        ("cauliflower", "pomegranate"),
    ),
    "background": (
        ("water ouzel", "fig"),
        ("grey whale", "coral reef"),
    ),
}

# Appendix D.3 of the paper, five in a row.
_FIGURE_24: Sequence[Triple] = (
    ("school bus", "giant panda", "geyser"),
    ("African hunting dog", "cello", "strawberry"),
    ("robin", "lipstick", "scuba diver"),
    ("Indian cobra", "analog clock", "green lizard"),
    ("racer", "piggy bank", "fig"),
    ("African hunting dog", "breastplate", "cock"),
    ("German shepherd", "king penguin", "bittern"),
    ("beaker", "bearskin", "pineapple"),
    ("Indian cobra", "orange", "spider web"),
    ("teddy", "beer glass", "rock crab"),
    ("malinois", "reel", "viaduct"),
    ("ibex", "upright", "sandbar"),
    ("hourglass", "lemon", "hornbill"),
    ("drilling platform", "ambulance", "breakwater"),
    ("mushroom", "horned viper", "ostrich"),
    ("snowmobile", "French loaf", "Arabian camel"),
    ("catamaran", "cheetah", "garden spider"),
    ("bald eagle", "strawberry", "ear"),
    ("triumphal arch", "standard poodle", "bullfrog"),
    ("forklift", "theater curtain", "valley"),
    ("wine bottle", "pill bottle", "alp"),
    ("pirate", "trench coat", "beaver"),
    ("submarine", "racer", "hay"),
    ("wood rabbit", "jack-o'-lantern", "water ouzel"),
    ("teapot", "military uniform", "baseball"),
)

# Figure 7 of an anonymous reproducibility study of the paper, appendix E; four in a row.
_REPRODUCTION: Sequence[Triple] = (
    ("vase", "golden retriever", "black and gold garden spider"),
    ("wine bottle", "king penguin", "beaver"),
    ("hartebeest", "red wolf", "drake"),
    ("wardrobe", "bookshop", "valley"),
    ("mushroom", "agaric", "breakwater"),
    ("toaster", "jack-o'-lantern", "jackfruit"),
    ("tub", "ambulance", "valley"),
    ("drake", "megalith", "paddle"),
    ("tripod", "fire engine", "beaver"),
    ("sweatshirt", "head cabbage", "cliff"),
    ("drake", "tennis ball", "breakwater"),
    ("ostrich", "golden retriever", "geyser"),
    ("tripod", "plastic bag", "rock crab"),
    ("ostrich", "monarch", "grey whale"),
    ("orange", "analog clock", "viaduct"),
    ("red wine", "golden retriever", "ostrich"),
)

PRESETS: Mapping[str, tuple[int, Sequence[Triple]]] = {  # by name: how many in a row, and which
    "figure24": (5, _FIGURE_24),
    "reproduction": (4, _REPRODUCTION),
}
