"""The sample sheet of a CGN in training: the outputs of each mechanism, and composites."""

import copy
from pathlib import Path

import numpy as np
import torch

from cgn.composer import compose
from cgn.data import ImageSet
from cgn.families.mnist import network as mnist
from cgn.families.mnist.network import MnistCGN
from cgn.images.pixels import to_uint8
from cgn.images.sheets import SheetRow, draw_sheet

COUNTERFACTUAL_ROWS = 3
MOST_COLUMNS = 16


@torch.no_grad()
def draw_samples(run_dir: Path, network: MnistCGN, data: ImageSet, step: int) -> Path:
    """Writes ``samples/step-<step>.png``: one column per class, with the same noise in every sheet of a run.

    The first MOST_COLUMNS classes get a column. The rows are: a real image; mask, foreground, background and
    composite of one factor; and counterfactuals with the shape label of the column, and random labels of
    texture and background. ``step-<step>.npz`` beside it has mask, foreground and background of the factor,
    uint8 (columns, H, W, 1 or 3), for other drawings.
    """
    network = copy.deepcopy(network).cpu().eval()
    random = torch.Generator().manual_seed(0)
    columns = min(network.classes, MOST_COLUMNS)
    shapes = torch.arange(columns)

    def u() -> torch.Tensor:
        return torch.randn(columns, mnist.LATENT, generator=random)

    def rolls() -> torch.Tensor:
        return torch.randint(network.resolution, (columns, 2), generator=random)

    def labels() -> torch.Tensor:
        return torch.randint(network.classes, (columns,), generator=random)

    def one_hot(label_N: torch.Tensor) -> torch.Tensor:
        return mnist.one_hot(label_N, network.classes)

    real = torch.stack([data.images[data.labels == label][0] for label in shapes])
    shared_u, y_NC = u(), one_hot(shapes)
    m = network.shape(shared_u, y_NC)
    f = network.texture(shared_u, y_NC, rolls())
    b = network.background(shared_u, y_NC, rolls())
    rows = [
        _row("real", real.clamp(-1, 1), [_caption(name) for name in data.class_names[:columns]]),
        _row("mask", m),
        _row("foreground", f),
        _row("background", b),
        _row("composite", compose(m, f, b)),
    ]
    for _ in range(COUNTERFACTUAL_ROWS):
        texture, background = labels(), labels()
        x = compose(
            network.shape(u(), y_NC),
            network.texture(u(), one_hot(texture), rolls()),
            network.background(u(), one_hot(background), rolls()),
        )
        captions = [
            f"s{s} t{t} b{b}"
            for s, t, b in zip(shapes.tolist(), texture.tolist(), background.tolist(), strict=True)
        ]
        rows.append(_row("counterfactual", x, captions))
    path = run_dir / "samples" / f"step-{step:07d}.png"
    path.parent.mkdir(exist_ok=True)
    draw_sheet(f"{data.provenance['dataset']}, step {step}", rows).save(path)
    masks, foregrounds, backgrounds = (np.stack(row.images) for row in rows[1:4])
    np.savez_compressed(path.with_suffix(".npz"), mask=masks, foreground=foregrounds, background=backgrounds)
    return path


def _caption(name: str) -> str:
    return f"class {name}" if name.isdecimal() else name


def _row(title: str, images_NCHW: torch.Tensor, captions: list[str] | None = None) -> SheetRow:
    return SheetRow(
        title, [to_uint8(image.permute(1, 2, 0).numpy()) for image in images_NCHW], captions or []
    )
