"""Measures for the failures of a CGN's mechanisms (paper, appendix F).

Texture-background entanglement: the foreground should show the object's texture everywhere. Traces of the
background in it are patches that resemble the background more than the object.

Background residue: the background should be complete. An object left in it gives patches, where the object
was, that resemble the object more than the surrounding background. A saliency network finds it too.

Reduced realism: the distance of the composite from the unconstrained cGAN's image of the same factor.

Patches are compared with patches of the same factor's images. So no colour threshold and no true texture is
needed. The shares say little about a class whose object looks like its background.
Shape suffixes: N images, P patches, K values of a patch.
"""

import torch
import torch.nn.functional as F

from cgn.metrics.textures import PATCH

SIDE = 64  # larger images are averaged down to this many pixels a side
FEWEST = 8  # least number of patches on both sides of a comparison
_MOST = 1024  # highest number of patches on each side of a comparison


def entanglement(f_N3HW: torch.Tensor, b_N3HW: torch.Tensor, m_N1HW: torch.Tensor) -> torch.Tensor:
    """Returns the share of a foreground's patches beside the object that are closer to the background there
    than to the object: (N,) in [0, 1], NaN if mask or background has too few pixels.

    Args:
        f_N3HW, b_N3HW: foregrounds and backgrounds in [-1, 1] of the same factors.
        m_N1HW: masks of these factors in [0, 1].
    """
    f, b, m = (reduced(x) for x in (f_N3HW, b_N3HW, m_N1HW))
    return _share_closer(f, ~_object(m), likes=(b, ~_object(m)), own=(f, _object(m)))


def residue(b_N3HW: torch.Tensor, f_N3HW: torch.Tensor, m_N1HW: torch.Tensor) -> torch.Tensor:
    """Returns the share of a background's patches behind the object that are closer to the object than to the
    surrounding background: (N,) in [0, 1], NaN if mask or background has too few pixels. Arguments: see
    `entanglement`."""
    f, b, m = (reduced(x) for x in (f_N3HW, b_N3HW, m_N1HW))
    return _share_closer(b, _object(m), likes=(f, _object(m)), own=(b, ~_object(m)))


def realism_loss(x_gen_N3HW: torch.Tensor, x_gt_N3HW: torch.Tensor) -> torch.Tensor:
    """Returns the mean absolute difference of composites from x_gt of the same factors: (N,) in [0, 2]."""
    return (x_gen_N3HW - x_gt_N3HW).abs().mean((1, 2, 3))


def reduced(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Returns images with at most SIDE pixels a side, as float32."""
    side = x_NCHW.shape[-1]
    return F.avg_pool2d(x_NCHW.float(), side // SIDE) if side > SIDE else x_NCHW.float()


def _object(m_N1HW: torch.Tensor) -> torch.Tensor:
    return m_N1HW[:, 0] > 0.5


Region = tuple[torch.Tensor, torch.Tensor]  # images (N, 3, H, W) and the region, bool (N, H, W)


def _share_closer(
    x_N3HW: torch.Tensor, where_NHW: torch.Tensor, *, likes: Region, own: Region
) -> torch.Tensor:
    """Returns the share of x's patches in a region that are closer to ``likes`` than to ``own``."""
    shares = []
    for i in range(len(x_N3HW)):
        mine, other, same = (_patches(x[i], where[i]) for x, where in ((x_N3HW, where_NHW), likes, own))
        if min(map(len, (mine, other, same))) < FEWEST:
            shares.append(torch.tensor(torch.nan))
            continue
        # Equal numbers on both sides: among more patches, one is closer by chance.
        count = min(len(other), len(same), _MOST)
        to_other, to_same = (_nearest(mine, _some(patches, count)) for patches in (other, same))
        shares.append((to_other < to_same).float().mean())
    return torch.stack(shares)


def _patches(x_3HW: torch.Tensor, where_HW: torch.Tensor) -> torch.Tensor:
    """Returns the patches whose centre lies in a region: (P, K)."""
    edge = PATCH // 2
    patch_PK = F.unfold(x_3HW[None], PATCH)[0].T
    return patch_PK[where_HW[edge:-edge, edge:-edge].flatten()]


def _some(patch_PK: torch.Tensor, count: int) -> torch.Tensor:
    """Returns ``count`` of the patches, evenly spaced."""
    return patch_PK[torch.arange(count) * len(patch_PK) // count]


def _nearest(patch_PK: torch.Tensor, other_QK: torch.Tensor) -> torch.Tensor:
    """Returns the distance of each patch from the nearest of the other patches: (P,)."""
    return torch.cdist(patch_PK, other_QK).amin(1)
