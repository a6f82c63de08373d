"""What a network can be trained on, by name and size. No numpy or torch: options are checked with it."""

VARIANTS = ("colored_mnist", "double_colored_mnist", "wildlife_mnist")
FOLDER = "folder"  # of a user's own images
DATASETS = (*VARIANTS, FOLDER)
RESOLUTIONS = (32, 64)  # pixels a side
MOST_CLASSES = 1000
