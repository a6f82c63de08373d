"""The sample sheet of a CGN in training: what each mechanism draws, and what they make together."""

import copy
from pathlib import Path

import torch

from cgn.composer import compose
from cgn.data import VariantSet
from cgn.mechanisms import mnist
from cgn.model import MnistCGN
from cgn.pixels import to_uint8
from cgn.sheets import SheetRow, draw_sheet

COUNTERFACTUAL_ROWS = 3


@torch.no_grad()
def draw_samples(run_dir: Path, network: MnistCGN, data: VariantSet, step: int) -> Path:
    """Writes ``samples/step-<step>.png``: one column per class, the same noise in every sheet of a run.

    Rows: a real image; mask, foreground, background and composite of one factor; then counterfactuals that
    keep the column's shape label and draw the labels of texture and background.
    """
    network = copy.deepcopy(network).cpu().eval()
    random = torch.Generator().manual_seed(0)
    classes = torch.arange(mnist.CLASSES)

    def u() -> torch.Tensor:
        return torch.randn(mnist.CLASSES, mnist.LATENT, generator=random)

    def rolls() -> torch.Tensor:
        return torch.randint(mnist.RESOLUTION, (mnist.CLASSES, 2), generator=random)

    def labels() -> torch.Tensor:
        return torch.randint(mnist.CLASSES, (mnist.CLASSES,), generator=random)

    real = torch.stack([data.images[data.labels == label][0] for label in classes])
    shared_u, y_NC = u(), mnist.one_hot(classes)
    m = network.shape(shared_u, y_NC)
    f = network.texture(shared_u, y_NC, rolls())
    b = network.background(shared_u, y_NC, rolls())
    rows = [
        _row("real", real.clamp(-1, 1), [f"class {label}" for label in classes.tolist()]),
        _row("mask", m),
        _row("foreground", f),
        _row("background", b),
        _row("composite", compose(m, f, b)),
    ]
    for _ in range(COUNTERFACTUAL_ROWS):
        texture, background = labels(), labels()
        x = compose(
            network.shape(u(), y_NC),
            network.texture(u(), mnist.one_hot(texture), rolls()),
            network.background(u(), mnist.one_hot(background), rolls()),
        )
        captions = [
            f"s{s} t{t} b{b}"
            for s, t, b in zip(classes.tolist(), texture.tolist(), background.tolist(), strict=True)
        ]
        rows.append(_row("counterfactual", x, captions))
    path = run_dir / "samples" / f"step-{step:07d}.png"
    path.parent.mkdir(exist_ok=True)
    draw_sheet(f"{data.provenance['variant']}, step {step}", rows).save(path)
    return path


def _row(title: str, images_NCHW: torch.Tensor, captions: list[str] | None = None) -> SheetRow:
    return SheetRow(
        title, [to_uint8(image.permute(1, 2, 0).numpy()) for image in images_NCHW], captions or []
    )
