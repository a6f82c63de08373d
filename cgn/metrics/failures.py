"""Failures of a CGN's mechanisms (paper, appendix F), as numbers.

Texture-background entanglement: the foreground is to be object all over; traces of the background in it show
as patches that are more like the background than like the object. Background residue: the background is to
be whole; an object that is left in it shows as patches, where the object stood, that are more like the object
than like the background around, and as what a saliency network still finds. Reduced realism: how far the
composite is from what the unconstrained cGAN draws of the same cause.

Patches are compared with those of the same cause's pictures, so no threshold on colours is needed, and no
true texture has to be known. Of a class whose object looks like its background the shares say little.
Shape suffixes: N pictures, P patches, K values of a patch.
"""

import torch
import torch.nn.functional as F

from cgn.metrics.textures import PATCH

SIDE = 64  # pixels a side that larger pictures are averaged down to
FEWEST = 8  # patches that both kinds must have to be compared
_MOST = 1024  # patches of a kind that are compared with


def entanglement(f_N3HW: torch.Tensor, b_N3HW: torch.Tensor, m_N1HW: torch.Tensor) -> torch.Tensor:
    """Share of a foreground's patches beside the object that are closer to the background there than to the
    object: (N,) in [0, 1], NaN where mask or background has too few pixels.

    Args:
        f_N3HW, b_N3HW: foregrounds and backgrounds in [-1, 1], of one cause each.
        m_N1HW: its masks in [0, 1].
    """
    f, b, m = (reduced(x) for x in (f_N3HW, b_N3HW, m_N1HW))
    return _share_closer(f, ~_object(m), likes=(b, ~_object(m)), own=(f, _object(m)))


def residue(b_N3HW: torch.Tensor, f_N3HW: torch.Tensor, m_N1HW: torch.Tensor) -> torch.Tensor:
    """Share of a background's patches behind the object that are closer to the object than to the background
    around it: (N,) in [0, 1], NaN where mask or background has too few pixels. Arguments as above."""
    f, b, m = (reduced(x) for x in (f_N3HW, b_N3HW, m_N1HW))
    return _share_closer(b, _object(m), likes=(f, _object(m)), own=(b, ~_object(m)))


def realism_loss(x_gen_N3HW: torch.Tensor, x_gt_N3HW: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of composites from the cGAN's pictures of the same causes: (N,) in [0, 2]."""
    return (x_gen_N3HW - x_gt_N3HW).abs().mean((1, 2, 3))


def reduced(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Pictures of SIDE pixels a side at most, as float32."""
    side = x_NCHW.shape[-1]
    return F.avg_pool2d(x_NCHW.float(), side // SIDE) if side > SIDE else x_NCHW.float()


def _object(m_N1HW: torch.Tensor) -> torch.Tensor:
    return m_N1HW[:, 0] > 0.5


Region = tuple[torch.Tensor, torch.Tensor]  # pictures (N, 3, H, W) and where in them, bool (N, H, W)


def _share_closer(
    x_N3HW: torch.Tensor, where_NHW: torch.Tensor, *, likes: Region, own: Region
) -> torch.Tensor:
    """Of x's patches in a region, the share that is closer to a patch of ``likes`` than to any of ``own``."""
    shares = []
    for i in range(len(x_N3HW)):
        mine, other, same = (_patches(x[i], where[i]) for x, where in ((x_N3HW, where_NHW), likes, own))
        if min(map(len, (mine, other, same))) < FEWEST:
            shares.append(torch.tensor(torch.nan))
            continue
        # As many of each kind: of more, some one is closer by chance.
        count = min(len(other), len(same), _MOST)
        to_other, to_same = (_nearest(mine, _some(known, count)) for known in (other, same))
        shares.append((to_other < to_same).float().mean())
    return torch.stack(shares)


def _patches(x_3HW: torch.Tensor, where_HW: torch.Tensor) -> torch.Tensor:
    """The patches whose middle lies in a region: (P, K)."""
    edge = PATCH // 2
    patch_PK = F.unfold(x_3HW[None], PATCH)[0].T
    return patch_PK[where_HW[edge:-edge, edge:-edge].flatten()]


def _some(patch_PK: torch.Tensor, count: int) -> torch.Tensor:
    """That many of the patches, evenly among all."""
    return patch_PK[torch.arange(count) * len(patch_PK) // count]


def _nearest(patch_PK: torch.Tensor, known_QK: torch.Tensor) -> torch.Tensor:
    """Distance of each patch from the nearest of those known: (P,)."""
    return torch.cdist(patch_PK, known_QK).amin(1)
