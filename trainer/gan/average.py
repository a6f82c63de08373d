"""The moving average of a network's weights, which is what a run publishes (Yazici et al. 2019)."""

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

_DECAY = 0.995  # per step


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, done: int) -> None:
    """Moves the average towards the network after ``done`` steps, batch statistics included.

    Early on it is the mean of all steps so far: the first weights are random, and should not linger.
    """
    means, values = [], []
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            means.append(mean)
            values.append(value)
        else:
            mean.copy_(value)
    get_ema_multi_avg_fn(min(_DECAY, 1 - 1 / done))(means, values, done)
