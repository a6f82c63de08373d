"""The three MNIST variants of the CGN paper, built in memory from real digits and textures.

Nothing here touches the network, except `python -m cgn.data.download`. Importing this package does not
import torch.
"""

from cgn.data.digits import Digits, load_digits
from cgn.data.source import DataError
from cgn.data.textures import Textures, load_textures
from cgn.data.variants import SPLITS, VARIANTS, VariantSet, make_variant

__all__ = [
    "SPLITS",
    "VARIANTS",
    "DataError",
    "Digits",
    "Textures",
    "VariantSet",
    "load_digits",
    "load_textures",
    "make_variant",
]
