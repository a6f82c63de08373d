"""The terms of equation 4 that only an ImageNet CGN has; the others are in `cgn.losses.masks_and_game`.

    L = λ1 L_L1 + λ2 L_perc + λ3 L_binary + λ4 L_mask + λ5 L_text + λ6 L_bg

L_binary and L_mask (appendix C.1) are those of `cgn.losses.masks_and_game`; L_perc compares x_gen with x_gt,
and L_text the foreground with one of the targets that are made here, by a style loss of `cgn.losses.style`.
Shape suffixes: N pictures, C channels, HW pixels, K patches.
"""

import torch
import torch.nn.functional as F

from cgn.families.imagenet.u2net import U2Net
from cgn.losses import masks_and_game as losses

GRID = 6  # patches a side of a patch grid
PATCH, PATCH_AT = 15, 256  # pixels a side of a patch, at a resolution of so many (appendix C.2)
LEAST_PATCH = 3  # pixels; less is no texture
# The authors' code draws from the best 100 windows of 15 pixels in a picture of 128. Here the same share.
BEST_SHARE = 100 / (128 - PATCH + 1) ** 2
TYPICAL_OBJECT = 0.3  # share of the picture that an object covers: μ_mask of table 1

FILLED = 0.9  # share of a picture that copies of its object are to cover
MOST_COPIES = 64


def l1(x_gen: torch.Tensor, x_gt: torch.Tensor) -> torch.Tensor:
    """L_L1 (section 3.1, equation 4): mean absolute difference, 0 to 2, of pictures in [-1, 1]."""
    return F.l1_loss(x_gen, x_gt)


def mask_interval(
    m_N1HW: torch.Tensor, lowest: float, highest: float, *, of_batch: bool = False
) -> torch.Tensor:
    """L_mask (appendix C.1): how far the mean mask value lies outside [lowest, highest], 0 or more.

    Args:
        m_N1HW: masks in [0, 1].
        lowest: τ, above 0.
        highest: 1 - τ.
        of_batch: of all masks together, the expectation that the paper writes; else of each mask, averaged,
            as the authors' code has it. Of one mask both are the same.
    """
    return losses.mask_interval(m_N1HW.mean(0, keepdim=True) if of_batch else m_N1HW, lowest, highest)


def background_saliency(u2net: U2Net, b_N3HW: torch.Tensor) -> torch.Tensor:
    """L_bg (section 3.1): mean probability, 0 to 1, that a background's pixel is object."""
    return u2net(b_N3HW).mean()


def patch_side(resolution: int) -> int:
    """Pixels a side of a patch that is cut from pictures of a resolution: 15 at 256, in proportion, or 3."""
    return max(LEAST_PATCH, round(PATCH * resolution / PATCH_AT))


@torch.no_grad()
def patch_grids(
    x_N3HW: torch.Tensor,
    m_N1HW: torch.Tensor,
    random: torch.Generator,
    *,
    side: int,
    halved: bool = False,
    by_object: bool = False,
) -> torch.Tensor:
    """Patch grids pg (appendix C.2): 6 x 6 patches of where the mask is closest to 1, (N, 3, H, W).

    The patches are drawn, with replacement, from the best of all windows by their mean mask value, and the
    grid is scaled up to the picture's size.

    Args:
        x_N3HW: pictures in [-1, 1].
        m_N1HW: their masks in [0, 1].
        random: on the CPU.
        side: of the patches, pixels; at most that of the picture they are cut from.
        halved: cut them from the picture at half its resolution, as the authors' code does.
        by_object: as large to their object as patches of ``side`` are to a typical one, at least LEAST_PATCH
            and at most twice ``side``. Appendix F's remedy for textures with traces of the background.
    """
    size = x_N3HW.shape[2:]
    if halved:
        x_N3HW, m_N1HW = (F.interpolate(x, scale_factor=0.5, mode="bicubic") for x in (x_N3HW, m_N1HW))
    if not by_object:
        grids = [_grids(x_N3HW, m_N1HW, random, side)]
    else:
        sides = [_side_for_object(side, m) for m in m_N1HW]
        pairs = zip(x_N3HW.split(1), m_N1HW.split(1), sides, strict=True)
        grids = [_grids(x, m, random, its_side) for x, m, its_side in pairs]
    return torch.cat([F.interpolate(grid, size, mode="bicubic").clamp(-1, 1) for grid in grids])


def _side_for_object(side: int, m_1HW: torch.Tensor) -> int:
    fitting = round(side * (float(m_1HW.mean().clamp(min=0)) / TYPICAL_OBJECT) ** 0.5)
    return max(min(LEAST_PATCH, side), min(fitting, 2 * side, *m_1HW.shape[1:]))


def _grids(x_N3HW: torch.Tensor, m_N1HW: torch.Tensor, random: torch.Generator, side: int) -> torch.Tensor:
    """Grids of patches of one size, as many pixels as these have."""
    count, _, _, width = x_N3HW.shape
    mean_NK = F.avg_pool2d(m_N1HW, side, stride=1).flatten(1)
    best = min(mean_NK.shape[1], max(GRID**2, round(BEST_SHARE * mean_NK.shape[1])))
    drawn_NK = torch.randint(best, (count, GRID**2), generator=random).to(x_N3HW.device)
    window_NK = mean_NK.topk(best).indices.gather(1, drawn_NK)
    across = width - side + 1  # windows in a row
    inside = torch.arange(side, device=x_N3HW.device)
    row_NKS = (window_NK // across)[..., None] + inside
    column_NKS = (window_NK % across)[..., None] + inside
    picture_N111 = torch.arange(count, device=x_N3HW.device)[:, None, None, None]
    patch_NKSS3 = x_N3HW.movedim(1, -1)[picture_N111, row_NKS[..., None], column_NKS[..., None, :]]
    grid = patch_NKSS3.unflatten(1, (GRID, GRID)).permute(0, 5, 1, 3, 2, 4)
    return grid.reshape(count, 3, GRID * side, GRID * side)


@torch.no_grad()
def random_fills(x_N3HW: torch.Tensor, m_N1HW: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Pictures filled with their objects, (N, 3, H, W): a reproducibility study's target in a grid's place.

    The object, cut out where the mask is above 1/2, lies at random places, each copy below those before it,
    until FILLED of the picture is covered; what is left has the object's mean colour. A picture without an
    object stays as it is.

    Args:
        x_N3HW: pictures in [-1, 1].
        m_N1HW: their masks in [0, 1].
        random: on the CPU.
    """
    return torch.stack([_fill(x, m > 0.5, random) for x, m in zip(x_N3HW, m_N1HW, strict=True)])


def _fill(x_3HW: torch.Tensor, object_1HW: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    if not object_1HW.any():
        return x_3HW
    mean_3 = (x_3HW * object_1HW).sum((1, 2)) / object_1HW.sum()
    filled, covered = mean_3[:, None, None].expand_as(x_3HW), torch.zeros_like(object_1HW)
    for _ in range(MOST_COPIES):
        down, right = (int(torch.randint(size, (), generator=random)) for size in x_3HW.shape[1:])
        place = object_1HW.roll((down, right), (1, 2))
        filled = torch.where(place & ~covered, x_3HW.roll((down, right), (1, 2)), filled)
        covered = covered | place
        if covered.float().mean() >= FILLED:
            break
    return filled
