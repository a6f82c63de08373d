"""Pictures whose texture L_text gives to foregrounds: patch grids, and pictures filled with the object.

Shape suffixes: N pictures, HW pixels, K windows of a picture or patches of a grid, S side of a patch.
"""

import torch
import torch.nn.functional as F

GRID = 6  # patches a side of a patch grid
PATCH, PATCH_AT = 15, 256  # pixels a side of a patch, and the resolution that they hold for (appendix C.2)
LEAST_PATCH = 3  # pixels; a smaller patch has no texture
# The authors' code draws from the best 100 windows of 15 pixels in a picture of 128. Here the same share.
BEST_SHARE = 100 / (128 - PATCH + 1) ** 2
TYPICAL_OBJECT = 0.3  # share of the picture that an object covers: μ_mask of table 1

FILLED = 0.9  # share of a picture that copies of its object cover at the end
MOST_COPIES = 64


def patch_side(resolution: int) -> int:
    """Returns a patch's side in pixels at a picture's resolution: 15 at 256, in proportion, at least 3."""
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
    """Returns patch grids pg (appendix C.2), (N, 3, H, W): 6 x 6 patches from where the mask is closest to 1.

    The patches are drawn, with replacement, from the windows with the highest mean mask values. The grid is
    scaled up to the picture's size.

    Args:
        x_N3HW: pictures in [-1, 1].
        m_N1HW: their masks in [0, 1].
        random: on the CPU.
        side: of the patches in pixels, at most the side of the picture they are cut from.
        halved: cut the patches from the picture at half its resolution, as the authors' code does.
        by_object: scale ``side`` with the object's size, from LEAST_PATCH to twice ``side``. This is appendix
            F's remedy for textures with traces of the background.
    """
    size = x_N3HW.shape[2:]
    if halved:
        x_N3HW, m_N1HW = (F.interpolate(x, scale_factor=0.5, mode="bicubic") for x in (x_N3HW, m_N1HW))
    if not by_object:
        grids = [_grids(x_N3HW, m_N1HW, random, side)]
    else:
        sides = [_side_for_object(side, m) for m in m_N1HW]
        pictures = zip(x_N3HW.split(1), m_N1HW.split(1), sides, strict=True)
        grids = [_grids(x, m, random, object_side) for x, m, object_side in pictures]
    return torch.cat([F.interpolate(grid, size, mode="bicubic").clamp(-1, 1) for grid in grids])


def _side_for_object(side: int, m_1HW: torch.Tensor) -> int:
    fitting = round(side * (float(m_1HW.mean().clamp(min=0)) / TYPICAL_OBJECT) ** 0.5)
    return max(min(LEAST_PATCH, side), min(fitting, 2 * side, *m_1HW.shape[1:]))


def _grids(x_N3HW: torch.Tensor, m_N1HW: torch.Tensor, random: torch.Generator, side: int) -> torch.Tensor:
    """Returns grids of patches of one size, (N, 3, 6 side, 6 side)."""
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
    """Returns pictures filled with copies of their objects, (N, 3, H, W): a reproducibility study's target.

    The object is cut out where the mask is above 1/2. Its copies lie at random places, each below the earlier
    ones, until they cover FILLED of the picture. The rest gets the object's mean colour. A picture without an
    object is returned unchanged.

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
