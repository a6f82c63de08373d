"""Batch norm of a BigGAN in training: statistics of the batch during training, stored statistics afterwards.

A BigGAN normalises by stored statistics, which have a row for every truncation. They suit trained weights
only: in training, activations change with every step. So a hook before each norm normalises the norm's input
by the statistics of the batch, and gradients flow through them. The stored mean 0 and variance 1 then change
nothing. The statistics of the trained weights are measured at the end.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from cgn.families.imagenet.biggan import EPS, MEASURED, N_STATS, BigGAN
from cgn.families.network import truncated_noise

POWER_ITERATIONS = 30  # the averaged vectors are close already
FULL_VARIETY = (N_STATS - 1,)  # the row of truncation 1

Inputs = tuple[torch.Tensor, ...]


def normalise_by_batch(biggan: BigGAN) -> None:
    """Makes every forward pass normalise feature maps by the statistics of its batch, permanently.

    Args:
        biggan: with the stored statistics of a new network, mean 0 and variance 1.
    """
    for norm in _norms(biggan):
        norm.register_forward_pre_hook(_normalised)


@torch.no_grad()
def store_statistics(biggan: BigGAN, rows: Sequence[int] = MEASURED, pictures: int = 512) -> None:
    """Completes a moving average of trained weights, in place, so that it can be used at any truncation.

    Averaged vectors of spectral norm's power iteration are not the singular vectors of the averaged weights,
    so a few more iterations update the vectors. Then one forward pass measures the statistics of a truncation
    layer by layer, and each layer already uses the measured ones. Between measured truncations statistics are
    interpolated linearly in the square of the truncation, which is exact for the first layer.

    Args:
        biggan: in eval mode, without the hooks of ``normalise_by_batch``; on any device.
        rows: rows of statistics to measure, ascending, each 0 to 50: row i is for truncation i / 50. Rows
            below the first and above the last stay unchanged.
        pictures: number of pictures per truncation, of the same noise every time; the classes take turns.
    """
    device = biggan.embeddings.weight.device
    label_N = (torch.arange(pictures) % biggan.sizes.classes).to(device)
    y_NC = F.one_hot(label_N, biggan.sizes.classes).to(torch.float32)
    u_NL = truncated_noise(pictures, biggan.sizes.z_dim, torch.Generator().manual_seed(0)).to(device)
    biggan.train()
    for _ in range(POWER_ITERATIONS):
        biggan(u_NL[:1], y_NC[:1], 1.0)
    biggan.eval()
    norms = list(_norms(biggan))
    embedded_NL = biggan.embeddings(y_NC)
    for row in rows:
        hooks = [norm.register_forward_pre_hook(partial(_measure, row=row)) for norm in norms]
        # Rounding in the BigGAN package misses some rows, but never the last, which this forward pass reads.
        biggan.generator(torch.cat([row / (N_STATS - 1) * u_NL, embedded_NL], dim=1), 1.0)
        for hook in hooks:
            hook.remove()
    for table in (norm.get_buffer(name) for norm in norms for name in ("running_means", "running_vars")):
        for low, high in pairwise(rows):
            for row in range(low + 1, high):
                t = (row**2 - low**2) / (high**2 - low**2)
                table[row] = torch.lerp(table[low], table[high], t)


def _norms(biggan: BigGAN) -> Iterable[nn.Module]:
    return (module for module in biggan.modules() if hasattr(module, "running_means"))


def _normalised(norm: nn.Module, inputs: Inputs) -> Inputs:
    """Pre-forward hook: normalises the input by the batch's statistics; other arguments stay the same."""
    x_NCHW, *others = inputs
    return F.batch_norm(x_NCHW, None, None, training=True, eps=EPS), *others


def _measure(norm: nn.Module, inputs: Inputs, row: int) -> None:
    """Pre-forward hook: stores the input's statistics in a row, and in the last row, which the pass uses."""
    var_C, mean_C = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
    for place in (row, -1):
        norm.get_buffer("running_means")[place] = mean_C
        norm.get_buffer("running_vars")[place] = var_C
