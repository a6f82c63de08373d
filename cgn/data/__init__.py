"""Images to train on: the three MNIST variants of the CGN paper, built in memory, and a user's own folder.

Nothing here touches the network, except `python -m cgn.data.download`. Importing this package does not
import torch.
"""

from cgn.data.digits import Digits, load_digits
from cgn.data.images import ImageSet, training_images
from cgn.data.source import DataError
from cgn.data.textures import Textures, load_textures
from cgn.data.variants import SPLITS, VariantSet, make_variant
from cgn.datasets import DATASETS, FOLDER, RESOLUTIONS, VARIANTS

__all__ = [
    "DATASETS",
    "FOLDER",
    "RESOLUTIONS",
    "SPLITS",
    "VARIANTS",
    "DataError",
    "Digits",
    "ImageSet",
    "Textures",
    "VariantSet",
    "load_digits",
    "load_textures",
    "make_variant",
    "training_images",
]
