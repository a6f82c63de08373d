"""Names and sizes of the data sets. Imports neither numpy nor torch, because options are checked with it."""

VARIANTS = ("colored_mnist", "double_colored_mnist", "wildlife_mnist")
FOLDER = "folder"  # a folder with a user's own images
DATASETS = (*VARIANTS, FOLDER)
RESOLUTIONS = (32, 64)  # pixels a side
MOST_CLASSES = 1000
