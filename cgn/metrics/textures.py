"""The distance of a region of an image from a known texture, for example of a background behind its object.

The true content behind a generated object is unknown. In Wildlife MNIST, however, every real background is a
crop of its class's texture, so a correct background shows that texture everywhere. Each small patch of the
image is compared with the closest patch of the texture. The error is 0 if the texture fills the place of the
object. If the object still shows, the error is the distance between the two textures.

Three errors belong together: the error behind the object; the error beside it, which is the mechanism's skill
with the texture; and the error of x_gt at the object, the score of a mechanism that leaves the object in
place.
"""

import torch
import torch.nn.functional as F

from cgn.errors import CgnInputError

PATCH = 5  # pixels a side
_AT_ONCE = 256  # patches compared at once with all patches of a texture


def texture_error(
    x_N3HW: torch.Tensor, label_N: torch.Tensor, texture_C3HW: torch.Tensor, where_NHW: torch.Tensor
) -> torch.Tensor:
    """Returns the root mean square distance of images from the closest patches of a texture: (N,), 0 to 2.

    The mean is over all patches of PATCH pixels a side whose centre lies in the region; NaN if there are
    none. A smooth image is close to the average of any texture, so compare only images of similar sharpness.

    Args:
        x_N3HW: images in [-1, 1].
        label_N: index of each image's texture.
        texture_C3HW: whole textures in [-1, 1], from which crops are taken.
        where_NHW: bool; the region of each image.

    Raises:
        CgnInputError: images or textures smaller than a patch, or a region of another size than its image.
    """
    if min(*x_N3HW.shape[2:], *texture_C3HW.shape[2:]) < PATCH:
        raise CgnInputError("images", f"and textures must have {PATCH} pixels a side or more")
    if where_NHW.shape != (len(x_N3HW), *x_N3HW.shape[2:]):
        raise CgnInputError(
            "where",
            f"{tuple(where_NHW.shape)} must be the shape of the images, {tuple(x_N3HW.shape)}, without 3",
        )
    edge = PATCH // 2
    inner_NP = where_NHW[:, edge:-edge, edge:-edge].flatten(1)
    patch_NPK = F.unfold(x_N3HW, PATCH).transpose(1, 2)
    square_N = x_N3HW.new_full((len(x_N3HW),), torch.nan)
    for label in label_N.unique().tolist():
        texture_QK = F.unfold(texture_C3HW[label][None], PATCH)[0].T
        mine = (label_N == label).nonzero()[:, 0]
        inside = inner_NP[mine]
        nearest = torch.cat([_nearest(part, texture_QK) for part in patch_NPK[mine][inside].split(_AT_ONCE)])
        sums = torch.zeros(len(mine)).index_add_(0, inside.nonzero()[:, 0], nearest)
        square_N[mine] = sums / inside.sum(1)  # 0 / 0 is NaN
    return square_N.sqrt()


def _nearest(patch_PK: torch.Tensor, texture_QK: torch.Tensor) -> torch.Tensor:
    """Returns the mean square distance of each patch from the nearest patch of the texture: (P,)."""
    # Products suffice to find the nearest patch; its distance would be lost in their rounding.
    nearest = (texture_QK.square().sum(1) - 2 * patch_PK @ texture_QK.T).argmin(1)
    return (patch_PK - texture_QK[nearest]).square().mean(1)
