"""Sample sheets of an ImageNet CGN in training, of the same noise, and their animation (figures 5, 25)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from cgn.families.imagenet.network import ImagenetCGN
from cgn.families.network import truncated_noise
from cgn.images.pixels import to_uint8
from cgn.images.sheets import SheetRow, draw_sheet
from trainer.imagenet.refinement import Refinement
from trainer.imagenet.step import TRUNCATION

MOST_COLUMNS = 8
LARGEST = 128  # pixels a side of a picture on a sheet; larger pictures are halved until they fit
FRAME_WIDTH = 1200  # pixels of the animation, at most
FRAME_MS, LAST_FRAME_MS = 200, 2000
_FOLDER, _ANIMATION = "samples", "animation.gif"


def clear_samples(run_dir: Path) -> None:
    """Removes the sheets of an earlier run, so that the animation has only those of this run."""
    for path in (run_dir / _FOLDER).glob("*"):
        path.unlink()


@torch.no_grad()
def draw_samples(
    run_dir: Path,
    network: ImagenetCGN,
    refinement: Refinement | None,
    class_names: list[str],
    step: int,
) -> Path:
    """Writes ``samples/step-<step>.png``: up to MOST_COLUMNS classes, each with the same noise in all sheets.

    The classes are spread evenly over all classes. Rows: pre-mask, mask, foreground, background, composite
    and, with a refinement network, the refined composite. ``step-<step>.npz`` holds `labels` and the same
    pictures by the name of the row, uint8 (columns, H, W, 1 or 3).
    """
    device = next(network.parameters()).device
    columns = min(network.classes, MOST_COLUMNS)
    label_N = torch.arange(columns) * network.classes // columns
    u_NL = truncated_noise(columns, network.latent, torch.Generator().manual_seed(1)).to(device)
    y_NC = F.one_hot(label_N, network.classes).to(device, torch.float32)
    # One picture at a time: the feature maps of 256 pixels are large.
    drawn = [network(u_NL[i : i + 1], y_NC[i : i + 1], TRUNCATION) for i in range(columns)]
    pictures = {name: torch.cat([getattr(out, name) for out in drawn]) for name in drawn[0]._fields}
    if refinement:
        pictures["refined"] = refinement(pictures["composite"])
    captions = [class_names[label] for label in label_N.tolist()]
    levels: dict[str, Any] = {
        name: np.stack([_levels(x) for x in x_NCHW]) for name, x_NCHW in pictures.items()
    }
    rows = [
        SheetRow(name.replace("_", "-"), list(pixels), captions if i == 0 else ())
        for i, (name, pixels) in enumerate(levels.items())
    ]
    path = run_dir / _FOLDER / f"step-{step:07d}.png"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path.with_suffix(".npz"), labels=label_N.numpy(), **levels)
    draw_sheet(f"ImageNet family, fixed noise, step {step}", rows).save(path)
    return path


def animate_samples(run_dir: Path) -> Path:
    """Writes ``samples/animation.gif`` with all sheets of the run, in the order of steps."""
    frames = []
    for path in sorted((run_dir / _FOLDER).glob("step-*.png")):
        with Image.open(path) as still:
            still.thumbnail((FRAME_WIDTH, still.height))
            frames.append(still.quantize())
    path = run_dir / _FOLDER / _ANIMATION
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return path


def _levels(x_CHW: torch.Tensor) -> NDArray[np.uint8]:
    """Returns the 8-bit levels of a picture, at most LARGEST pixels a side."""
    while x_CHW.shape[-1] > LARGEST:
        x_CHW = F.avg_pool2d(x_CHW, 2)
    return to_uint8(x_CHW.permute(1, 2, 0).cpu().numpy())
