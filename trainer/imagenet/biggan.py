"""Trains a small class-conditional BigGAN: `python -m trainer train_biggan --help`.

The three mechanisms of an ImageNet CGN start from the weights of an unconstrained cGAN, which also generates
the x_gt of its reconstruction loss (paper section 3.1). At 256 pixels the cGAN comes as downloaded weights.
This run trains a miniature of it on a data set at hand, against the discriminator of the MNIST family.
"""

import copy
import json
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
from trainer.gan.discriminator import Discriminator
from trainer.gan.game import Opponent, game_optimiser, set_rate, update_average
from trainer.imagenet.biggan_statistics import (
    FULL_VARIETY,
    normalise_by_batch,
    store_statistics,
)
from trainer.imagenet.start_config import TrainBigganConfig
from trainer.mnist.samples import MOST_COLUMNS
from trainer.mnist.stage import rate_factor
from trainer.run.context import Published, RunContext, RunError
from trainer.run.cost import RunCost
from trainer.run.loop import TrainingLoop
from trainer.run.precision import half_precision
from trainer.run.provenance import provenance

WEIGHTS, RESULT = "biggan.safetensors", "biggan.json"
DISCRIMINATOR_WIDTH = 24
_SHEET_ROWS = 6  # rows of generated images, each of one noise vector


def train_biggan(config: TrainBigganConfig, context: RunContext) -> Published:
    """Trains, and writes the averaged weights to WEIGHTS and their provenance to RESULT in the run directory.

    Raises:
        RunError: the data cannot be used, or the losses are not finite.
        Stopped: a stop was requested; a checkpoint is written.
    """
    reporter, run_dir = context.reporter, context.run_dir
    cost = RunCost()
    device = resolve_device(context.device)
    data = _load_images(config)
    for note in data.provenance["notes"]:
        reporter.log(f"note: {note}")

    # Networks, their average, and optimisers.
    torch.manual_seed(config.seed)  # for the initial weights
    classes = len(data.class_names)
    network = fresh(BigGANSizes.at(data.resolution, classes=classes, ch=config.ch, z_dim=config.z_dim))
    network.to(device).to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    normalise_by_batch(network)
    adam = game_optimiser(network)
    opponent = Opponent(Discriminator(3, classes, data.resolution, DISCRIMINATOR_WIDTH), device)
    random = torch.Generator().manual_seed(config.seed)  # for images, labels and noise

    parts = {"network": network, "average": average, "adam_g": adam, **opponent.parts, "random": random}
    loop = TrainingLoop(
        config,
        context,
        cost,
        parts,
        steps=config.steps,
        checkpoint_at=lambda done: done % config.checkpoint_every == 0,
        lower="lr_generator or lr_discriminator",
        images_per_step=config.batch_size,
    )
    for step in loop:
        # Draw real images, and generate images of the same labels.
        chosen = torch.randint(len(data.labels), (config.batch_size,), generator=random)
        x_real, label_N = data.images[chosen].to(device), data.labels[chosen].to(device)
        u_NL = truncated_noise(config.batch_size, config.z_dim, random).to(device)
        with half_precision(device):
            x_gen = network(u_NL, F.one_hot(label_N, classes).to(torch.float32), 1.0).float()

        # One step of the discriminator.
        left = rate_factor(step, config.steps)
        loss_d = opponent.learn(x_real, x_gen, label_N, left * config.lr_discriminator, step)

        # One step of the generator.
        loss_g = opponent.judge(x_gen, label_N)
        set_rate(adam, left * config.lr_generator)
        adam.zero_grad()
        loss_g.backward()
        adam.step()
        update_average(average, network, loop.done)

        loop.report({"generator": float(loss_g.detach()), "discriminator": float(loss_d)})
        if loop.every(config.sample_every):
            reporter.write("sample_sheet", draw_samples, run_dir, average, data, loop.done)

    # Write the averaged weights and their provenance.
    store_statistics(average)
    save_file({name: t.cpu().contiguous() for name, t in average.state_dict().items()}, run_dir / WEIGHTS)
    reporter.artefact("checkpoint", run_dir / WEIGHTS)
    result = {
        "class_names": data.class_names,
        "resolution": data.resolution,
        "data": data.provenance,
        **cost.summary(),
        **provenance("train_biggan", config, context.version),
    }
    (run_dir / RESULT).write_text(json.dumps(result, indent=2, ensure_ascii=False))
    reporter.artefact("scores", run_dir / RESULT)
    return Published()


def fresh(sizes: BigGANSizes) -> BigGAN:
    """Returns a BigGAN with orthogonal initial weights (Brock et al. 2019, section 3), in training mode.

    The class embedding has the scale of the noise, so that images depend on both from the start.
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
    """Writes ``samples/step-<step>.png``: a column per class, up to MOST_COLUMNS.

    The first row has real images, the others generated images. A row has one noise vector, the same in every
    sheet. Does not change the averaged network.
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
