"""Batch norm of a BigGAN that is trained: by the batch while it learns, by stored statistics when it is done.

The network itself knows stored statistics only, a row of them for every truncation, which is right for one
that has learnt. One that learns changes its activations with every step. So in training a hook before each
norm normalises its input by the batch's own statistics, through which gradients flow; those stored, mean 0
and variance 1, then have nothing left to do. The statistics that belong to the finished weights are measured
at the end.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from cgn.families.imagenet.biggan import EPS, MEASURED, N_STATS, BigGAN
from cgn.families.network import truncated_noise

POWER_ITERATIONS = 30  # from vectors that are nearly right
FULL_VARIETY = (N_STATS - 1,)  # the row of truncation 1

Inputs = tuple[torch.Tensor, ...]


def normalise_by_batch(biggan: BigGAN) -> None:
    """For good: every pass normalises maps by the statistics of its batch, and lets gradients through them.

    For a BigGAN whose stored statistics are those it was made with.
    """
    for norm in _norms(biggan):
        norm.register_forward_pre_hook(_normalised)


@torch.no_grad()
def store_statistics(biggan: BigGAN, rows: Sequence[int] = MEASURED, pictures: int = 512) -> None:
    """Makes a moving average of trained weights whole, in place: a BigGAN that is used at any truncation.

    Averaged vectors of spectral norm's power iteration are no longer the singular vectors of the averaged
    weights; a few more iterations make them so. Then the statistics of a truncation are measured in a pass
    that uses them itself, layer by layer, as training does. Between those measured they are linear in the
    square of the truncation, as are the first layer's.

    Args:
        biggan: in eval mode, without the hooks of ``normalise_by_batch``; on any device.
        rows: of statistics that are measured, ascending, each 0 to 50: row i is of truncation i / 50. Those
            below the first and above the last are left as they are.
        pictures: that statistics are taken from, the same at every truncation, classes in turn.
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
        # The package's arithmetic misses some rows by a hair, but never the last, which these passes read.
        biggan.generator(torch.cat([row / (N_STATS - 1) * u_NL, embedded_NL], dim=1), 1.0)
        for hook in hooks:
            hook.remove()
    for table in (norm.get_buffer(name) for norm in norms for name in ("running_means", "running_vars")):
        for low, high in pairwise(rows):
            for row in range(low + 1, high):
                share = (row**2 - low**2) / (high**2 - low**2)
                table[row] = torch.lerp(table[low], table[high], share)


def _norms(biggan: BigGAN) -> Iterable[nn.Module]:
    return (module for module in biggan.modules() if hasattr(module, "running_means"))


def _normalised(norm: nn.Module, inputs: Inputs) -> Inputs:
    """Pre-forward hook: the input in normal form, with what comes after it."""
    x_NCHW, *others = inputs
    return F.batch_norm(x_NCHW, None, None, training=True, eps=EPS), *others


def _measure(norm: nn.Module, inputs: Inputs, row: int) -> None:
    """Pre-forward hook: the input's statistics go to their row, and to the last one, which this pass uses."""
    var_C, mean_C = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
    for place in (row, -1):
        norm.get_buffer("running_means")[place] = mean_C
        norm.get_buffer("running_vars")[place] = var_C
