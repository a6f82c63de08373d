"""Trains a small class-agnostic U²-Net for saliency: `python -m trainer train_saliency --help`.

The mask network of an ImageNet CGN has learnt what an object is from pictures of other objects than the CGN's
(paper section 3.1). This is its miniature: it learns from drawn objects, of textures in any colours, none of
them drawn after a digit, and is then to find digits. What it makes of these, whose true masks are known, is
told at the end; nothing is chosen by it.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from cgn.data import DataError, load_textures, make_variant
from cgn.data.images import VARIANT_RESOLUTION
from cgn.data.objects import Objects
from cgn.data.textures import PROCEDURAL
from cgn.device import resolve_device
from cgn.families.imagenet.u2net import DEPTH, U2Net, saliency_loss
from cgn.images.pixels import to_uint8
from cgn.images.sheets import SheetRow, draw_sheet
from cgn.metrics.masks import mask_iou
from trainer.gan.game import set_rate
from trainer.imagenet.saliency_config import TrainSaliencyConfig
from trainer.mnist.stage import rate_left
from trainer.run.checkpoints import Checkpoints
from trainer.run.context import Published, RunContext, RunError, Stopped
from trainer.run.cost import Account
from trainer.run.precision import half_precision
from trainer.run.provenance import provenance

WEIGHTS, RESULT = "saliency.safetensors", "saliency.json"
DIGITS = "wildlife_mnist"  # whose textures fill the objects, and whose digits are the last check
HELD_OUT = 500  # pictures, of objects and of digits, that IoU is taken over
BETAS = (0.9, 0.99)  # of Adam
_HELD_OUT_SEED = 2**63  # beyond those of training
_AT_ONCE = 250  # pictures looked at together
_COLUMNS = 10  # of a sheet

Pictures = tuple[
    torch.Tensor, torch.Tensor
]  # (N, 3, R, R) in [-1, 1], and their true masks, bool (N, 1, R, R)


def train_saliency(config: TrainSaliencyConfig, context: RunContext) -> Published:
    """Trains, and writes the weights and what they score to WEIGHTS and RESULT in the run directory.

    Raises:
        RunError: the data cannot be used, or the loss is no longer a number.
        Stopped: asked to stop; a checkpoint is written.
    """
    reporter, run_dir = context.reporter, context.run_dir
    account = Account()
    device = resolve_device(context.device)
    try:
        textures = load_textures()
        digits = make_variant(DIGITS, "test", limit=HELD_OUT)
    except DataError as error:
        raise RunError(str(error)) from None
    if textures.source == PROCEDURAL:
        reporter.log("note: procedural textures: drawn stripes and veins, not photographs")
    fillings = np.concatenate([textures.object, textures.background])
    objects = Objects(fillings, VARIANT_RESOLUTION, config.seed)
    held_out = {
        "objects": _pictures(Objects(fillings, VARIANT_RESOLUTION, _HELD_OUT_SEED), 0, HELD_OUT),
        "digits": (digits.images, digits.masks[:, None]),
    }

    torch.manual_seed(config.seed)  # of the initial weights
    net = U2Net([(config.inner, config.outer)] * (2 * DEPTH - 1), align_corners=True).to(device)
    adam = torch.optim.Adam(net.parameters(), betas=BETAS, fused=True)
    checkpoints = Checkpoints(run_dir, config, {"net": net, "adam": adam, "account": account})
    start = 0
    if context.resume:
        start, passed_over = checkpoints.resume()
        account.resumed_at_step = start
        for line in [*passed_over, f"resuming after step {start}"]:
            reporter.log(line)
    else:
        checkpoints.clear()

    reporter.begin(start, config.steps, images_per_step=config.batch_size)
    for step in range(start, config.steps):
        x_N3HW, true_N1HW = _pictures(objects, step * config.batch_size, (step + 1) * config.batch_size)
        net.train()
        with half_precision(device):
            logits_N7HW = net.logits(x_N3HW.to(device)).float()
        loss = saliency_loss(logits_N7HW, true_N1HW.to(device, torch.float32))
        set_rate(adam, rate_left(step, config.steps) * config.learning_rate)
        adam.zero_grad()
        loss.backward()
        adam.step()

        done = step + 1
        saliency = float(loss.detach())
        if not math.isfinite(saliency):
            raise RunError(f"the loss is no longer a number after step {done}; lower learning_rate")
        reporter.progress(done, {"saliency": saliency}, float(logits_N7HW[:, 0].detach().sigmoid().mean()))
        if done % config.sample_every == 0 or done == config.steps:
            reporter.write("sample_sheet", _draw_samples, run_dir, net, held_out, done)
            reporter.log(f"step {done}: IoU of held-out objects {_iou(net, held_out['objects'])['mean']:.3f}")
        if done % config.checkpoint_every == 0 or context.stop.requested:
            account.settle()
            reporter.write("checkpoint", checkpoints.save, done)
        if context.stop.requested and done < config.steps:
            raise Stopped

    save_file({name: t.cpu().contiguous() for name, t in net.state_dict().items()}, run_dir / WEIGHTS)
    reporter.artefact("checkpoint", run_dir / WEIGHTS)
    account.settle()
    result = {
        "iou": {name: _iou(net, pictures) for name, pictures in held_out.items()},
        "textures": textures.source,
        "digits": digits.provenance,
        "seconds": round(account.seconds, 1),
        "cpu_seconds": round(account.cpu_seconds, 1),
        "resumed_at_step": account.resumed_at_step,
        **provenance("train_saliency", config, context.version),
    }
    (run_dir / RESULT).write_text(json.dumps(result, indent=2))
    reporter.artefact("scores", run_dir / RESULT)
    return Published()


def _pictures(objects: Objects, start: int, stop: int) -> Pictures:
    images, masks = objects.pictures(start, stop)
    return torch.from_numpy(images), torch.from_numpy(masks)[:, None]


@torch.no_grad()
def _find(net: U2Net, x_N3HW: torch.Tensor) -> torch.Tensor:
    """Masks (N, 1, R, R) of pictures, in eval mode."""
    device = next(net.parameters()).device
    net.eval()
    return torch.cat([net(part.to(device)).cpu() for part in x_N3HW.split(_AT_ONCE)])


def _iou(net: U2Net, pictures: Pictures) -> dict[str, float]:
    """Intersection over union with the true masks: mean and median over pictures."""
    x_N3HW, true_N1HW = pictures
    iou_N = mask_iou(_find(net, x_N3HW), true_N1HW)
    return {"mean": round(float(iou_N.mean()), 4), "median": round(float(iou_N.median()), 4)}


def _draw_samples(run_dir: Path, net: U2Net, held_out: dict[str, Pictures], step: int) -> Path:
    """Writes ``samples/step-<step>.png``: pictures held out, their true masks, and those that are found."""
    rows = []
    for name, (x_N3HW, true_N1HW) in held_out.items():
        x, true = x_N3HW[:_COLUMNS], true_N1HW[:_COLUMNS]
        rows += [SheetRow(name, _levels(x)), SheetRow("true masks", _levels(true.float()))]
        rows.append(SheetRow("found", _levels(_find(net, x))))
    path = run_dir / "samples" / f"step-{step:07d}.png"
    path.parent.mkdir(exist_ok=True)
    draw_sheet(f"saliency, step {step}", rows).save(path)
    return path


def _levels(x_NCHW: torch.Tensor) -> list[NDArray[np.uint8]]:
    return [to_uint8(x.permute(1, 2, 0).numpy()) for x in x_NCHW]
