"""The precision of a run's computations."""

import torch

from cgn.device import cpu_has_bfloat16


def half_precision(device: torch.device) -> torch.autocast:
    """Returns a context that computes convolutions in bfloat16 if the device is faster with it."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16, enabled=torch.cuda.is_bf16_supported())
    return torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bfloat16())
