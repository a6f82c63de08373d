"""How far a picture is from a known texture, here or there: of backgrounds, behind the object.

Nobody knows what a generated picture hides behind its object. But where every real background is a crop of
its class's texture, as in Wildlife MNIST, what a background mechanism may draw there is known: something of
that texture. Each small patch of its picture is compared with the patch of the texture that is closest to it.
Behind a real object, cut out and filled by the texture, the error is 0; where the object still shows, it is
the distance of the object's texture from the background's.

Three numbers belong together: the error behind the object, that beside it, which is the mechanism's skill
with the texture, and that of x_gt where the object is, which is what a mechanism that leaves the object in
place would have.
"""

import torch
import torch.nn.functional as F

from cgn.errors import CgnInputError

PATCH = 5  # pixels a side
_AT_ONCE = 256  # patches that are compared with all of a texture's


def texture_error(
    x_N3HW: torch.Tensor, label_N: torch.Tensor, texture_C3HW: torch.Tensor, where_NHW: torch.Tensor
) -> torch.Tensor:
    """Root mean square over pixels of x from the closest patches of its class's texture: (N,), 0 to 2.

    Taken over all patches of PATCH pixels a side whose middle lies within the region; NaN where there are
    none. A smooth picture is close to any texture's average, so errors compare pictures of about equal
    sharpness.

    Args:
        x_N3HW: pictures in [-1, 1].
        label_N: index of each one's texture.
        texture_C3HW: textures in [-1, 1], as large as what crops are taken from.
        where_NHW: bool; the region of each picture.

    Raises:
        CgnInputError: pictures or textures smaller than a patch, or a region of another size than its
            picture.
    """
    if min(*x_N3HW.shape[2:], *texture_C3HW.shape[2:]) < PATCH:
        raise CgnInputError("pictures", f"and textures must have {PATCH} pixels a side or more")
    if where_NHW.shape != (len(x_N3HW), *x_N3HW.shape[2:]):
        raise CgnInputError(
            "where",
            f"{tuple(where_NHW.shape)} must be that of the pictures, {tuple(x_N3HW.shape)}, without 3",
        )
    edge = PATCH // 2
    inner_NP = where_NHW[:, edge:-edge, edge:-edge].flatten(1)
    patch_NPK = F.unfold(x_N3HW, PATCH).transpose(1, 2)
    square_N = x_N3HW.new_full((len(x_N3HW),), torch.nan)
    for label in label_N.unique().tolist():
        known_QK = F.unfold(texture_C3HW[label][None], PATCH)[0].T
        mine = (label_N == label).nonzero()[:, 0]
        inside = inner_NP[mine]
        nearest = torch.cat([_nearest(part, known_QK) for part in patch_NPK[mine][inside].split(_AT_ONCE)])
        sums = torch.zeros(len(mine)).index_add_(0, inside.nonzero()[:, 0], nearest)
        square_N[mine] = sums / inside.sum(1)  # 0 / 0 is NaN
    return square_N.sqrt()


def _nearest(patch_PK: torch.Tensor, known_QK: torch.Tensor) -> torch.Tensor:
    """Mean square over the values of each patch from the nearest of those known: (P,)."""
    # Which is nearest needs products only; how near it is would be lost in their rounding.
    nearest = (known_QK.square().sum(1) - 2 * patch_PK @ known_QK.T).argmin(1)
    return (patch_PK - known_QK[nearest]).square().mean(1)
