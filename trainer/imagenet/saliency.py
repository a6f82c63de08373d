"""Trains a small class-agnostic U²-Net for saliency: `python -m trainer train_saliency --help`.

The mask network of an ImageNet CGN is trained on images of other objects than those of the CGN (paper section
3.1). This run trains a miniature of it on drawn objects with textures in random colours; none has the shape
of a digit. At the end it is scored on digits, whose true masks are known. The score on digits is only
reported: no choice depends on it.
"""

import json
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
from cgn.metrics.masks import mask_iou, mu_mask
from trainer.gan.game import set_rate
from trainer.imagenet.start_config import TrainSaliencyConfig
from trainer.mnist.stage import rate_factor
from trainer.run.context import Published, RunContext, RunError
from trainer.run.cost import RunCost
from trainer.run.loop import TrainingLoop
from trainer.run.precision import half_precision
from trainer.run.provenance import provenance

WEIGHTS, RESULT = "saliency.safetensors", "saliency.json"
DIGITS = "wildlife_mnist"  # its textures fill the objects, its digits serve for the final score
HELD_OUT = 500  # images of objects, and of digits, in the mean IoU
BETAS = (0.9, 0.99)  # of Adam
_HELD_OUT_SEED = 2**63  # larger than any seed of training
_AT_ONCE = 250  # images in one forward pass
_COLUMNS = 10  # of a sheet

# Images (N, 3, R, R) in [-1, 1], and their true masks, bool (N, 1, R, R).
Pictures = tuple[torch.Tensor, torch.Tensor]


def train_saliency(config: TrainSaliencyConfig, context: RunContext) -> Published:
    """Trains, and writes the weights to WEIGHTS and their scores to RESULT in the run directory.

    Raises:
        RunError: the data cannot be used, or the loss is not finite.
        Stopped: a stop was requested; a checkpoint is written.
    """
    reporter, run_dir = context.reporter, context.run_dir
    cost = RunCost()
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

    torch.manual_seed(config.seed)  # for the initial weights
    net = U2Net([(config.inner, config.outer)] * (2 * DEPTH - 1), align_corners=True).to(device)
    adam = torch.optim.Adam(net.parameters(), betas=BETAS, fused=True)

    loop = TrainingLoop(
        config,
        context,
        cost,
        {"net": net, "adam": adam},
        steps=config.steps,
        checkpoint_at=lambda done: done % config.checkpoint_every == 0,
        lower="learning_rate",
        images_per_step=config.batch_size,
    )
    for step in loop:
        # Draw images of objects with their true masks.
        x_N3HW, true_N1HW = _pictures(objects, step * config.batch_size, (step + 1) * config.batch_size)

        # One step on the saliency loss of all side outputs.
        net.train()
        with half_precision(device):
            logits_N7HW = net.logits(x_N3HW.to(device)).float()
        loss = saliency_loss(logits_N7HW, true_N1HW.to(device, torch.float32))
        set_rate(adam, rate_factor(step, config.steps) * config.learning_rate)
        adam.zero_grad()
        loss.backward()
        adam.step()

        m_NHW = logits_N7HW[:, 0].detach().sigmoid()
        loop.report({"saliency": float(loss.detach())}, float(mu_mask(m_NHW)))
        if loop.every(config.sample_every):
            reporter.write("sample_sheet", _draw_samples, run_dir, net, held_out, loop.done)
            iou = _iou(net, held_out["objects"])["mean"]
            reporter.log(f"step {loop.done}: IoU of held-out objects {iou:.3f}")

    # Write the weights, and their scores on held-out objects and digits.
    save_file({name: t.cpu().contiguous() for name, t in net.state_dict().items()}, run_dir / WEIGHTS)
    reporter.artefact("checkpoint", run_dir / WEIGHTS)
    result = {
        "iou": {name: _iou(net, pictures) for name, pictures in held_out.items()},
        "textures": textures.source,
        "digits": digits.provenance,
        **cost.summary(),
        **provenance("train_saliency", config, context.version),
    }
    (run_dir / RESULT).write_text(json.dumps(result, indent=2))
    reporter.artefact("scores", run_dir / RESULT)
    return Published()


def _pictures(objects: Objects, start: int, stop: int) -> Pictures:
    images, masks = objects.pictures(start, stop)
    return torch.from_numpy(images), torch.from_numpy(masks)[:, None]


@torch.no_grad()
def _predict(net: U2Net, x_N3HW: torch.Tensor) -> torch.Tensor:
    """Returns the masks (N, 1, R, R) in [0, 1] of images, computed in eval mode."""
    device = next(net.parameters()).device
    net.eval()
    return torch.cat([net(part.to(device)).cpu() for part in x_N3HW.split(_AT_ONCE)])


def _iou(net: U2Net, pictures: Pictures) -> dict[str, float]:
    """Returns the intersection over union with the true masks: mean and median over images, in [0, 1]."""
    x_N3HW, true_N1HW = pictures
    iou_N = mask_iou(_predict(net, x_N3HW), true_N1HW)
    return {"mean": round(float(iou_N.mean()), 4), "median": round(float(iou_N.median()), 4)}


def _draw_samples(run_dir: Path, net: U2Net, held_out: dict[str, Pictures], step: int) -> Path:
    """Writes ``samples/step-<step>.png``: held-out images, their true masks, and the predicted masks."""
    rows = []
    for name, (x_N3HW, true_N1HW) in held_out.items():
        x, true = x_N3HW[:_COLUMNS], true_N1HW[:_COLUMNS]
        rows += [SheetRow(name, _levels(x)), SheetRow("true masks", _levels(true.float()))]
        rows.append(SheetRow("found", _levels(_predict(net, x))))
    path = run_dir / "samples" / f"step-{step:07d}.png"
    path.parent.mkdir(exist_ok=True)
    draw_sheet(f"saliency, step {step}", rows).save(path)
    return path


def _levels(x_NCHW: torch.Tensor) -> list[NDArray[np.uint8]]:
    return [to_uint8(x.permute(1, 2, 0).numpy()) for x in x_NCHW]
