"""Trains a small class-conditional BigGAN: `python -m trainer train_biggan --help`.

It is the unconstrained cGAN that an ImageNet CGN begins as three times over, and that draws the x_gt it
learns from (paper section 3.1). At 256 pixels such a network comes as downloaded weights; this is its
miniature, made of a data set at hand, against the discriminator that the mechanisms of the MNIST family meet.
"""

import copy
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from cgn.data import DataError, ImageSet, training_images
from cgn.device import resolve_device
from cgn.families.imagenet.biggan import BigGAN, BigGANSizes
from cgn.families.network import truncated_noise
from cgn.images.pixels import to_uint8
from cgn.images.sheets import SheetRow, draw_sheet
from trainer.gan.average import update_average
from trainer.gan.discriminator import Discriminator
from trainer.gan.game import Opponent, game_optimiser, set_rate
from trainer.imagenet.biggan_config import TrainBigganConfig
from trainer.imagenet.biggan_statistics import (
    FULL_VARIETY,
    normalise_by_batch,
    store_statistics,
)
from trainer.mnist.samples import MOST_COLUMNS
from trainer.mnist.stage import rate_left
from trainer.run.checkpoints import Checkpoints
from trainer.run.context import Published, RunContext, RunError, Stopped
from trainer.run.cost import Account
from trainer.run.precision import half_precision
from trainer.run.provenance import provenance

WEIGHTS, RESULT = "biggan.safetensors", "biggan.json"
DISCRIMINATOR_WIDTH = 24
_SHEET_ROWS = 6  # of pictures of one noise each


def train_biggan(config: TrainBigganConfig, context: RunContext) -> Published:
    """Trains, and writes the averaged weights and how they came to be to WEIGHTS and RESULT in the run
    directory.

    Raises:
        RunError: the data cannot be used, or the losses are no longer numbers.
        Stopped: asked to stop; a checkpoint is written.
    """
    reporter, run_dir = context.reporter, context.run_dir
    account = Account()
    device = resolve_device(context.device)
    data = _load_images(config)
    for note in data.provenance["notes"]:
        reporter.log(f"note: {note}")

    torch.manual_seed(config.seed)  # of the initial weights
    classes = len(data.class_names)
    network = fresh(BigGANSizes.at(data.resolution, classes=classes, ch=config.ch, z_dim=config.z_dim))
    network.to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    normalise_by_batch(network)
    adam = game_optimiser(network)
    opponent = Opponent(Discriminator(3, classes, data.resolution, DISCRIMINATOR_WIDTH), device)
    random = torch.Generator().manual_seed(config.seed)  # of everything that is drawn
    parts = {"network": network, "average": average, "adam_g": adam, **opponent.parts}
    checkpoints = Checkpoints(run_dir, config, parts | {"random": random, "account": account})
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
        chosen = torch.randint(len(data.labels), (config.batch_size,), generator=random)
        x_real, label_N = data.images[chosen].to(device), data.labels[chosen].to(device)
        u_NL = truncated_noise(config.batch_size, config.z_dim, random).to(device)
        with half_precision(device):
            x_gen = network(u_NL, F.one_hot(label_N, classes).to(torch.float32), 1.0).float()

        left = rate_left(step, config.steps)
        loss_d = opponent.learn(x_real, x_gen, label_N, left * config.lr_discriminator, step)
        loss_g = opponent.judge(x_gen, label_N)
        set_rate(adam, left * config.lr_generator)
        adam.zero_grad()
        loss_g.backward()
        adam.step()

        done = step + 1
        update_average(average, network, done)
        values = {"generator": float(loss_g.detach()), "discriminator": float(loss_d)}
        if not all(map(math.isfinite, values.values())):
            raise RunError(
                f"the losses are no longer numbers after step {done}; lower lr_generator or lr_discriminator"
            )
        reporter.progress(done, values)
        if done % config.sample_every == 0 or done == config.steps:
            reporter.write("sample_sheet", draw_samples, run_dir, average, data, done)
        if done % config.checkpoint_every == 0 or context.stop.requested:
            account.settle()
            reporter.write("checkpoint", checkpoints.save, done)
        if context.stop.requested and done < config.steps:
            raise Stopped

    store_statistics(average)
    save_file({name: t.cpu().contiguous() for name, t in average.state_dict().items()}, run_dir / WEIGHTS)
    reporter.artefact("checkpoint", run_dir / WEIGHTS)
    account.settle()
    result = {
        "class_names": data.class_names,
        "resolution": data.resolution,
        "data": data.provenance,
        "seconds": round(account.seconds, 1),
        "cpu_seconds": round(account.cpu_seconds, 1),
        "resumed_at_step": account.resumed_at_step,
        **provenance("train_biggan", config, context.version),
    }
    (run_dir / RESULT).write_text(json.dumps(result, indent=2, ensure_ascii=False))
    reporter.artefact("scores", run_dir / RESULT)
    return Published()


def fresh(sizes: BigGANSizes) -> BigGAN:
    """A BigGAN with weights to begin from: orthogonal ones (Brock et al. 2019, section 3), in training mode.

    The class embedding is as large as the noise beside it, so that pictures begin to depend on both alike.
    """
    biggan = BigGAN(sizes)
    for name, parameter in biggan.named_parameters():
        if name.endswith(".weight_orig"):
            nn.init.orthogonal_(parameter)
    nn.init.normal_(biggan.embeddings.weight)
    return biggan


def _load_images(config: TrainBigganConfig) -> ImageSet:
    try:
        return training_images(
            config.dataset,
            "train",
            folder=config.folder,
            resolution=config.resolution,
            limit=config.train_images,
        )
    except DataError as error:
        raise RunError(f"dataset {config.dataset}: {error}") from None


def draw_samples(run_dir: Path, average: BigGAN, data: ImageSet, step: int) -> Path:
    """Writes ``samples/step-<step>.png``: one column per class, up to MOST_COLUMNS; a real image, then
    pictures.

    All pictures of a row have one noise, and a row the same in every sheet. The averaged network is left as
    it is.
    """
    network = copy.deepcopy(average).cpu()
    store_statistics(network, FULL_VARIETY)
    columns = min(len(data.class_names), MOST_COLUMNS)
    y_NC = torch.eye(len(data.class_names))[:columns]
    u_NL = truncated_noise(_SHEET_ROWS, network.sizes.z_dim, torch.Generator().manual_seed(1))
    real = torch.stack([data.images[data.labels == label][0] for label in range(columns)])
    with torch.no_grad():
        drawn = [network(u_L.expand(columns, -1), y_NC, 1.0) for u_L in u_NL]
    rows = [_row("real", real.clamp(-1, 1)), *(_row(f"noise {i}", x) for i, x in enumerate(drawn, 1))]
    path = run_dir / "samples" / f"step-{step:07d}.png"
    path.parent.mkdir(exist_ok=True)
    draw_sheet(f"{data.provenance['dataset']}, BigGAN, step {step}", rows).save(path)
    return path


def _row(title: str, x_N3HW: torch.Tensor) -> SheetRow:
    return SheetRow(title, [to_uint8(x.permute(1, 2, 0).numpy()) for x in x_N3HW])
